/** TorchServe's tokens: read from the key_file.json it writes, renewed when they are about to expire. */
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import { isObject } from './reply.ts'

/** Which port a token opens. */
export type KeyKind = 'management' | 'inference'

export interface KeyFileOptions {
  /** Where key_file.json is; absent: TorchServe runs without tokens. */
  path: string | undefined
  clock: Clock
  /** Has TorchServe make a new token; its reply is empty, the token is in the file afterwards. */
  renew: (kind: KeyKind, apiKey: string) => Promise<void>
}

interface Key {
  key: string
  /** Absent where the file names none that can be read. */
  expiresAtMs: number | undefined
  renewAtMs: number
}

interface Keys {
  management: Key | undefined
  inference: Key | undefined
  api: string | undefined
}

const maxFileBytes = 65_536
const reads = 5
const rereadMs = 10
const renewPauseMs = 5_000

export class KeyFile {
  readonly #path: string | undefined
  readonly #clock: Clock
  readonly #renew: KeyFileOptions['renew']
  #keys: Keys | undefined
  #stamp = ''
  #renewals: Promise<void> = Promise.resolve()
  readonly #failed = new Map<KeyKind, { atMs: number; error: StokerError }>()

  constructor({ path, clock, renew }: KeyFileOptions) {
    this.#path = path
    this.#clock = clock
    this.#renew = renew
  }

  /**
   * The header for a call to this port, `{}` without a key file.
   * Throws KEY_FILE_UNREADABLE; the renewal's error when the token has expired and could not be renewed.
   */
  async authorization(kind: KeyKind): Promise<Record<string, string>> {
    if (this.#path === undefined) return {}
    let key = await this.#key(this.#path, kind)
    if (this.#isDue(kind, key)) {
      // One after another: each renewal rewrites the whole file.
      const path = this.#path
      this.#renewals = this.#renewals.then(() => this.#renewIfDue(path, kind))
      await this.#renewals
      key = await this.#key(this.#path, kind)
    }
    const failed = this.#failed.get(kind)
    if (failed && this.#hasExpired(key)) throw failed.error
    return { Authorization: `Bearer ${key.key}` }
  }

  /** Has the file read again by the next call, though it looks unchanged: TorchServe refused what it said. */
  forget(): void {
    this.#stamp = ''
  }

  #isDue(kind: KeyKind, key: Key): boolean {
    const now = this.#clock.now()
    const failed = this.#failed.get(kind)
    const pausing = failed !== undefined && now < failed.atMs + renewPauseMs
    return now >= key.renewAtMs && !pausing && this.#keys?.api !== undefined
  }

  #hasExpired(key: Key): boolean {
    return key.expiresAtMs !== undefined && this.#clock.now() >= key.expiresAtMs
  }

  /** Renewing takes the token away from everyone else, so the file is looked at once more before. Never rejects. */
  async #renewIfDue(path: string, kind: KeyKind): Promise<void> {
    try {
      const old = await this.#key(path, kind)
      const api = this.#keys?.api
      if (!this.#isDue(kind, old) || api === undefined) return
      await this.#renew(kind, api)
      this.forget()
      const renewed = await this.#key(path, kind)
      if (renewed.key === old.key) {
        const detail = `TorchServe renewed its ${kind} token, and ${path} still holds the old one; it is not the file TorchServe writes`
        throw new StokerError('TORCHSERVE_UNAUTHORIZED', detail)
      }
      this.#failed.delete(kind)
    } catch (error) {
      const fault = error instanceof StokerError ? error : unreadable(path, String(error))
      this.#failed.set(kind, { atMs: this.#clock.now(), error: fault })
    }
  }

  async #key(path: string, kind: KeyKind): Promise<Key> {
    const key = (await this.#read(path))[kind]
    if (!key) throw unreadable(path, `has no ${kind} key`)
    return key
  }

  /** TorchServe rewrites the file in place, so for a moment it is seen empty. */
  async #read(path: string): Promise<Keys> {
    for (let tries = 1; ; tries++) {
      const { text, stamp } = await this.#load(path)
      if (text === undefined && this.#keys) return this.#keys
      const keys = text === undefined ? undefined : this.#parse(text)
      if (keys) {
        this.#keys = keys
        this.#stamp = stamp
        return keys
      }
      if (tries === reads) {
        throw unreadable(path, text === '' ? 'is empty' : 'is not a key file of TorchServe')
      }
      await this.#clock.sleep(rereadMs)
    }
  }

  /** Text is absent while the file is the one last parsed. */
  async #load(path: string): Promise<{ text: string | undefined; stamp: string }> {
    try {
      const { ino, mtimeNs, size } = await stat(path, { bigint: true })
      const stamp = `${ino} ${mtimeNs} ${size}`
      if (stamp === this.#stamp) return { text: undefined, stamp }
      if (size > maxFileBytes) throw new Error(`${size} bytes are too many for a key file`)
      return { text: await readFile(path, 'utf8'), stamp }
    } catch (error) {
      throw unreadable(path, error instanceof Error ? error.message : String(error))
    }
  }

  /** Absent when the text is no key file. The text itself goes into no message: it is secret. */
  #parse(text: string): Keys | undefined {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      return undefined
    }
    const keys = {
      management: this.#parseKey(json, 'management'),
      inference: this.#parseKey(json, 'inference'),
      api: member(member(json, 'API'), 'key'),
    }
    const api = isToken(keys.api) ? keys.api : undefined
    return keys.management || keys.inference ? { ...keys, api } : undefined
  }

  #parseKey(json: unknown, kind: KeyKind): Key | undefined {
    const entry = member(json, kind)
    const key = member(entry, 'key')
    if (!isToken(key)) return undefined
    const expiry = member(entry, 'expiration time')
    const atMs = typeof expiry === 'string' ? Date.parse(expiry) : Number.NaN
    const known = this.#keys?.[kind]
    if (known?.key === key && known.expiresAtMs === atMs) return known
    if (Number.isNaN(atMs)) return { key, expiresAtMs: undefined, renewAtMs: Infinity }
    const life = Math.max(0, atMs - this.#clock.now())
    return { key, expiresAtMs: atMs, renewAtMs: atMs - Math.min(60_000, life / 5) }
  }
}

function member(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined
}

/** Printable and without spaces, so that it fits into a header. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,256}$/.test(value)
}

function unreadable(path: string, why: string): StokerError {
  return new StokerError('KEY_FILE_UNREADABLE', `Key file ${path}: ${why}`)
}
