/** HTTP to one address: few connections, a limit on every reply, and errors that say which address and why. */
import { readFileSync } from 'node:fs'
import { buildConnector, Pool } from 'undici'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

/** Whoever asks for longer, as a proxy's page for maintenance may, is asked again all the same. */
const LONGEST_RETRY_MS = 5 * 60_000

/** What came back, with any status. */
export interface Reply {
  status: number
  contentType: string
  body: string
  /** Milliseconds from now, where the server said when to come back; a few minutes at most. */
  retryAfterMs: number | undefined
  /** What was asked, for messages: `GET http://127.0.0.1:8081/models`. */
  asked: string
}

/** What failures on the way are called. */
export interface Faults {
  unreachable: ErrorCode
  timeout: ErrorCode
  tls: ErrorCode
  tooLarge: ErrorCode
  notHttp: ErrorCode
}

export interface WireOptions {
  base: URL
  faults: Faults
  /** PEM file with the CA to trust at an https address; absent: the usual authorities. */
  caFile: string | undefined
  /** Milliseconds a connection may take to open. */
  connectMs: number
  /** Bytes a reply's body may have. */
  maxBytes: number
  /** Connections open at a time; further calls wait in line. */
  connections: number
}

export interface Call {
  method: 'GET' | 'PUT' | 'PATCH'
  /** Begins with a slash, already encoded, query included. */
  path: string
  headers?: Record<string, string>
  body?: string
  /** Ends the call and its connection; its reason is what the call throws. */
  signal: AbortSignal
}

export class Wire {
  readonly #pool: Pool
  readonly #base: URL
  readonly #maxBytes: number
  readonly #caFile: string | undefined
  readonly #faults: Faults

  constructor({ base, faults, caFile, connectMs, maxBytes, connections }: WireOptions) {
    this.#base = base
    this.#faults = faults
    this.#maxBytes = maxBytes
    this.#caFile = caFile
    this.#pool = new Pool(base.origin, {
      connections,
      connect: connector(caFile, connectMs, faults.tls),
      pipelining: 1,
      maxResponseSize: maxBytes,
      // The caller's signal limits the whole call; these would only limit its parts.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** The full address of a path; never with the user and password a URL may carry. */
  url(path: string): string {
    return this.#base.origin + this.#base.pathname.replace(/\/$/, '') + path
  }

  /**
   * One exchange; resolves with any status once the body is complete.
   * Throws StokerError with the codes of its options.
   */
  async call({ method, path, headers = {}, body, signal }: Call): Promise<Reply> {
    const url = this.url(path)
    const asked = `${method} ${url}`
    try {
      const reply = await this.#pool.request({
        method,
        path: url.slice(this.#base.origin.length),
        headers,
        signal,
        ...(body === undefined ? {} : { body }),
      })
      return {
        status: reply.statusCode,
        contentType: String(reply.headers['content-type'] ?? ''),
        retryAfterMs: retryAfterMs(String(reply.headers['retry-after'] ?? '')),
        body: await reply.body.text(),
        asked,
      }
    } catch (error) {
      if (signal.aborted && signal.reason instanceof StokerError) throw signal.reason
      throw this.#fault(error, asked)
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  #fault(error: unknown, asked: string): StokerError {
    if (error instanceof StokerError) return error
    const { name, code, message, data } = describeError(error)
    const fault = (is: ErrorCode, said: string) =>
      new StokerError(is, `${asked}: ${said}`, { cause: error })

    if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' || code === 'UND_ERR_HEADERS_OVERFLOW') {
      return fault(this.#faults.tooLarge, `larger than ${this.#maxBytes} bytes`)
    }
    if (code.includes('TIMEOUT') || code === 'ETIMEDOUT') {
      return fault(this.#faults.timeout, message)
    }
    if (tlsAlert.test(data)) return fault(this.#faults.tls, 'the answer is TLS, not HTTP')
    if (tlsCodes.test(code) || message.includes('before secure TLS connection')) {
      const trusting = this.#caFile === undefined ? '' : ` (trusting only ${this.#caFile})`
      return fault(this.#faults.tls, message + trusting)
    }
    if (name === 'HTTPParserError') {
      return fault(this.#faults.notHttp, `the answer is not HTTP (${message})`)
    }
    return fault(this.#faults.unreachable, message || code)
  }
}

/** The header's seconds; its other form, a date, would be read by a clock that may differ. */
function retryAfterMs(header: string): number | undefined {
  return /^\d+$/.test(header) ? Math.min(Number(header) * 1000, LONGEST_RETRY_MS) : undefined
}

/**
 * Runs `work` for at most `ms` in all, then throws `code` naming `asked`, and aborts the signal it was given.
 * A frozen server accepts connections and says nothing, so a limit on connecting would not do.
 */
export async function within<T>(
  { clock, ms, asked, code }: { clock: Clock; ms: number; asked: string; code: ErrorCode },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const settled = new AbortController()
  const limit = clock.sleep(ms, settled.signal).then(() => {
    const error = new StokerError(code, `${asked}: no answer within ${ms} ms`)
    if (!settled.signal.aborted) late.abort(error)
    throw error
  })
  try {
    return await Promise.race([work(late.signal), limit])
  } finally {
    settled.abort()
  }
}

const tlsCodes =
  /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_(CA|PURPOSE)$|HOSTNAME_MISMATCH$)/

/** The first bytes of a TLS alert record, sent to those who speak plain HTTP. */
// eslint-disable-next-line no-control-regex
const tlsAlert = /^\u0015\u0003/

/** Opens connections; the CA is read each time, so that a renewed certificate is trusted without a restart. */
function connector(
  caFile: string | undefined,
  connectMs: number,
  tlsFault: ErrorCode,
): buildConnector.connector {
  const options = {
    timeout: connectMs,
    allowH2: false,
    minVersion: 'TLSv1.2',
    maxCachedSessions: 0,
  } as const
  const plain = buildConnector(options)
  return (target, callback) => {
    if (caFile === undefined || target.protocol !== 'https:') return plain(target, callback)
    try {
      buildConnector({ ...options, ca: readFileSync(caFile) })(target, callback)
    } catch (error) {
      const detail = `CA file ${caFile}: ${describeError(error).message}`
      callback(new StokerError(tlsFault, detail, { cause: error }), null)
    }
  }
}

function describeError(error: unknown) {
  if (!(error instanceof Error)) return { name: '', code: '', message: String(error), data: '' }
  const code = 'code' in error ? String(error.code) : ''
  const data = 'data' in error ? String(error.data) : ''
  // Both families of `localhost` refused: the first says it.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  const message = first instanceof Error ? first.message : error.message
  return { name: error.name, code, message, data }
}
