import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../../clock.ts'
import { StokerError } from '../../errors.ts'

/** A token is believed for so long; the kubelet replaces it when a fifth of its hour is left. */
const REREAD_MS = 60_000
const MOST_BYTES = 65_536

/** The service account token, in a file the kubelet renews. */
export class TokenFile {
  readonly #path: string
  readonly #clock: Clock
  #read: { token: string; atMs: number } | undefined

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /** Throws KUBERNETES_TOKEN_UNREADABLE; the token itself goes into no message. */
  async token(): Promise<string> {
    const known = this.#read
    if (known && this.#clock.now() - known.atMs < REREAD_MS) return known.token
    return this.reread()
  }

  async reread(): Promise<string> {
    let token: string
    try {
      const { size } = await stat(this.#path)
      if (size > MOST_BYTES) throw new Error(`${size} bytes are too many for a token`)
      token = (await readFile(this.#path, 'utf8')).trim()
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Error('holds no token')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new StokerError('KUBERNETES_TOKEN_UNREADABLE', `Token file ${this.#path}: ${why}`, {
        cause: error,
      })
    }
    this.#read = { token, atMs: this.#clock.now() }
    return token
  }
}
