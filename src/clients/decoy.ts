import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { PoolId } from '../model.ts'
import { isObject } from './reply.ts'

/** Both replies together; a describe reply of a thousand workers has 200 KB. */
const MOST_BYTES = 1024 * 1024

/** What TorchServe said right after it had put the decoy into the queue. */
interface Queued {
  /** Jobs still waiting, the decoy among them until a worker's thread took it. */
  pending: number
  /** Worker ids in TorchServe's order. */
  workers: readonly string[]
}

/** How a decoy ended. */
export interface DecoyAnswer {
  status: number
  /** The model's handler failed on it. No worker, a worker that died, or a token that expired says nothing of the handler. */
  isHandlersError: boolean
}

/**
 * A describe job that stands in the model's queue like a client's request and is missed by nobody.
 * `queued` resolves once it certainly is in the queue, and rejects when it never got there.
 * `answer` is there once some worker has answered it; undefined while it is open.
 */
export interface Decoy {
  queued: Promise<Queued>
  readonly answer: DecoyAnswer | undefined
  close(): void
}

/**
 * Sends a decoy, and behind it on the same connection a plain describe. TorchServe handles the requests of a connection in
 * order but does not wait for the answer of the first: the describe's reply proves that the decoy was queued before it, and
 * comes first.
 */
export function sendDecoy(
  managementUrl: URL,
  pool: PoolId,
  options: { headers: Readonly<Record<string, string>>; ca: string | undefined; timeoutMs: number },
): Decoy {
  const socket = open(managementUrl, options.ca)
  const path = `/models/${encodeURIComponent(pool.model)}/${encodeURIComponent(pool.version)}`
  const headers = Object.entries({ host: managementUrl.host, ...options.headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
  socket.write(
    `GET ${path}?customized=true HTTP/1.1\r\n${headers}\r\nGET ${path} HTTP/1.1\r\n${headers}\r\n`,
  )

  let answer: DecoyAnswer | undefined
  const { promise: queued, resolve, reject } = Promise.withResolvers<Queued>()
  queued.catch(() => {})
  const timer = setTimeout(() => fail('no reply in time'), options.timeoutMs)
  const fail = (why: string) => {
    reject(new Error(`decoy for ${pool.model}: ${why}`))
    clearTimeout(timer)
    socket.destroy()
  }
  let bytes = Buffer.alloc(0)
  socket.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    if (bytes.length > MOST_BYTES) return fail('reply too large')
    for (let reply = takeReply(bytes); reply; reply = takeReply(bytes)) {
      bytes = bytes.subarray(reply.length)
      const description = reply.status === 200 ? plainDescription(reply.body) : undefined
      if (description) {
        clearTimeout(timer)
        resolve(description)
      } else answer = answerOf(reply)
    }
  })
  socket.on('error', error => fail(error.message))
  socket.on('close', () => fail('connection closed'))
  return {
    queued,
    get answer() {
      return answer
    },
    close: () => fail('closed'),
  }
}

function open(url: URL, ca: string | undefined): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'https:'
  const port = Number(url.port || (secure ? 443 : 80))
  const socket = secure
    ? connectTls({ host, port, ...(ca ? { ca } : {}) })
    : connectPlain({ host, port })
  return socket.setNoDelay(true)
}

/** The first whole HTTP reply in the bytes; TorchServe always sends a content length. */
function takeReply(bytes: Buffer): { status: number; body: string; length: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = bytes.subarray(0, end).toString('latin1')
  const size = Number(/^content-length:\s*(\d+)/im.exec(head)?.[1] ?? 0)
  const length = end + 4 + size
  if (bytes.length < length) return undefined
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0)
  return { status, body: bytes.subarray(end + 4, length).toString(), length }
}

function answerOf({ status, body }: { status: number; body: string }): DecoyAnswer {
  const said = objectIn(body)
  const isHandlersError =
    status >= 400 &&
    said['type'] === 'InternalServerException' &&
    said['message'] !== 'Worker died.'
  return { status, isHandlersError }
}

/** Undefined for the decoy's own reply, which carries the handler's metadata. */
function plainDescription(body: string): Queued | undefined {
  const model = objectIn(body)
  if (!('modelName' in model) || 'customizedMetadata' in model) return undefined
  const queue = model['jobQueueStatus']
  const workers = Array.isArray(model['workers']) ? model['workers'] : []
  return {
    pending: isObject(queue) ? Number(queue['pendingRequests']) : Number.NaN,
    workers: workers.map((worker: unknown) => (isObject(worker) ? String(worker['id']) : '')),
  }
}

/** The object, or the first of a list, that a reply's JSON is; empty when it is neither. */
function objectIn(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body)
    const first: unknown = Array.isArray(parsed) ? parsed[0] : parsed
    return isObject(first) ? first : {}
  } catch {
    return {}
  }
}
