/** HTTP to one address: few connections, a limit on every reply, and errors that say which address and why. */
import { readFileSync } from 'node:fs'
import { buildConnector, Pool } from 'undici'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

/** What came back, with any status. */
export interface Reply {
  status: number
  contentType: string
  body: string
  /** What was asked, for messages: `GET http://127.0.0.1:8081/models`. */
  asked: string
}

export interface WireOptions {
  base: URL
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
  method: 'GET' | 'PUT'
  /** Begins with a slash, already encoded, query included. */
  path: string
  headers?: Record<string, string>
  /** Ends the call and its connection; its reason is what the call throws. */
  signal: AbortSignal
}

export class Wire {
  readonly #pool: Pool
  readonly #base: URL
  readonly #maxBytes: number
  readonly #caFile: string | undefined

  constructor({ base, caFile, connectMs, maxBytes, connections }: WireOptions) {
    this.#base = base
    this.#maxBytes = maxBytes
    this.#caFile = caFile
    this.#pool = new Pool(base.origin, {
      connections,
      connect: connector(caFile, connectMs),
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
   * Throws StokerError: TORCHSERVE_UNREACHABLE, _TIMEOUT, _TLS, _REPLY_TOO_LARGE, _NOT_TORCHSERVE (not HTTP).
   */
  async call({ method, path, headers = {}, signal }: Call): Promise<Reply> {
    const url = this.url(path)
    const asked = `${method} ${url}`
    try {
      const reply = await this.#pool.request({
        method,
        path: url.slice(this.#base.origin.length),
        headers,
        signal,
      })
      const contentType = String(reply.headers['content-type'] ?? '')
      return { status: reply.statusCode, contentType, body: await reply.body.text(), asked }
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
      return fault('TORCHSERVE_REPLY_TOO_LARGE', `larger than ${this.#maxBytes} bytes`)
    }
    if (code.includes('TIMEOUT') || code === 'ETIMEDOUT') {
      return fault('TORCHSERVE_TIMEOUT', message)
    }
    if (tlsAlert.test(data)) return fault('TORCHSERVE_TLS', 'the answer is TLS, not HTTP')
    if (tlsCodes.test(code) || message.includes('before secure TLS connection')) {
      const trusting = this.#caFile === undefined ? '' : ` (trusting only ${this.#caFile})`
      return fault('TORCHSERVE_TLS', message + trusting)
    }
    if (name === 'HTTPParserError') {
      return fault('TORCHSERVE_NOT_TORCHSERVE', `the answer is not HTTP (${message})`)
    }
    return fault('TORCHSERVE_UNREACHABLE', message || code)
  }
}

/**
 * Runs `work` for at most `ms` in all, then throws TORCHSERVE_TIMEOUT naming `asked`, and aborts the signal it was given.
 * A frozen TorchServe accepts connections and says nothing, so a limit on connecting would not do.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  asked: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const settled = new AbortController()
  const limit = clock.sleep(ms, settled.signal).then(() => {
    const error = new StokerError('TORCHSERVE_TIMEOUT', `${asked}: no answer within ${ms} ms`)
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
function connector(caFile: string | undefined, connectMs: number): buildConnector.connector {
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
      callback(new StokerError('TORCHSERVE_TLS', detail, { cause: error }), null)
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
