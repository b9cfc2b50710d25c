import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, openSync, writeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../clock.ts'
import type { Request } from './http.ts'
import { Failure } from './job.ts'
import type { TokenOptions } from './options.ts'

type Kind = 'management' | 'inference'

interface Key {
  key: string
  expiresMs: number
}

const EXPIRATION_MIN = 60

/** TorchServe's token authorisation with its key file. */
export class Tokens {
  readonly #file: string
  readonly #validMs: number
  readonly #clock: Clock
  readonly #apiKey = newKey()
  readonly #keys: Record<Kind, Key>

  /** Makes new keys and writes the file, as TorchServe does at each start. @throws Error of node:fs */
  constructor({ keyFile, expirationMin = EXPIRATION_MIN }: TokenOptions, clock: Clock) {
    this.#file = keyFile
    this.#validMs = expirationMin * 60_000
    this.#clock = clock
    this.#keys = { management: this.#fresh(), inference: this.#fresh() }
    write(this.#open(), this.#text())
  }

  /** @throws Failure 400 */
  check(kind: Kind, request: Request): void {
    const { key, expiresMs } = this.#keys[kind]
    if (bearer(request) === key && this.#clock.now() < expiresMs) return
    throw refused('Authorization')
  }

  /** A new key of the kind asked for, to be found in the file. @throws Failure 400 */
  async renew(kind: string | null, request: Request): Promise<void> {
    if (bearer(request) !== this.#apiKey || (kind !== 'management' && kind !== 'inference')) {
      throw refused('Authentication')
    }
    this.#keys[kind] = this.#fresh()
    // Rewritten in place, so that a reader may find it empty for a moment.
    const file = this.#open()
    await setImmediate()
    write(file, this.#text())
  }

  #fresh(): Key {
    return { key: newKey(), expiresMs: this.#clock.now() + this.#validMs }
  }

  #open(): number {
    const file = openSync(this.#file, 'w', 0o600)
    chmodSync(this.#file, 0o600)
    return file
  }

  #text(): string {
    const entry = ({ key, expiresMs }: Key) => ({ key, 'expiration time': nanoseconds(expiresMs) })
    const { management, inference } = this.#keys
    const keys = { management: entry(management), inference: entry(inference) }
    return JSON.stringify({ ...keys, API: { key: this.#apiKey } }, null, 2)
  }
}

/** TorchServe takes any request that mentions this anywhere for a renewal. */
export function mentionsToken({ target, headers }: Request): boolean {
  return target.includes('/token') || headers.values().some(value => value.includes('/token'))
}

function refused(what: 'Authorization' | 'Authentication'): Failure {
  const message = `Token ${what} failed. Token either incorrect, expired, or not provided correctly`
  return new Failure(400, 'InvalidKeyException', message)
}

function bearer({ headers }: Request): string | undefined {
  return /^Bearer (.+)$/.exec(headers.get('authorization') ?? '')?.[1]
}

function newKey(): string {
  return randomBytes(6).toString('base64url')
}

/** `2026-11-24T05:39:34.709105871Z`; the last digits are always the same here. */
function nanoseconds(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '105871Z')
}

function write(file: number, text: string): void {
  try {
    writeSync(file, text)
  } finally {
    closeSync(file)
  }
}
