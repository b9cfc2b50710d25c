/**
 * A small HTTP/1.1 server that treats connections as TorchServe does: the requests of one connection are handled at once, one
 * after the other, and each reply is sent when it is ready, so that replies can overtake each other. (node:http keeps order.)
 */
import { randomUUID } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'

const MOST_HEAD_BYTES = 16_384
const MOST_BODY_BYTES = 6_553_500
const MOST_CONNECTIONS = 2_048

export interface Request {
  method: string
  /** Path and query as sent. */
  target: string
  /** By lower-case name. */
  headers: ReadonlyMap<string, string>
}

export interface Response {
  status: number
  /** Absent: the status's usual one. */
  reason?: string
  contentType?: string
  body: string
}

/** Handles a request before it returns; the reply may come later, or never. */
export type Handler = (request: Request) => Response | Promise<Response>

export interface Listening {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens on 127.0.0.1. `frozen`: while it gives a promise, connections are accepted and nothing else happens.
 * @throws Error of node:net when the port is taken
 */
export async function listen(on: {
  port: number
  handle: Handler
  frozen: () => Promise<void> | undefined
  replied: (status: number) => void
}): Promise<Listening> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    serve(socket, on)
  })
  server.maxConnections = MOST_CONNECTIONS
  const port = await bind(server, on.port)
  return {
    port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.resetAndDestroy()
      }),
  }
}

function bind(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })
}

function serve(socket: Socket, { handle, frozen, replied }: Parameters<typeof listen>[0]): void {
  let unread = Buffer.alloc(0)
  let reading = false
  /** Of the request that came last: TorchServe gives it to whichever reply goes out next, and none to the others. */
  let requestId: string | undefined

  const reply = async (response: Response | Promise<Response>) => {
    const ready = await response
    await frozen()
    if (socket.destroyed) return
    replied(ready.status)
    socket.write(textOf(ready, requestId))
    requestId = undefined
    // What else is under way on this connection is lost.
    if (ready.status >= 400) socket.destroySoon()
  }
  const read = async () => {
    if (reading) return
    reading = true
    for (;;) {
      await frozen()
      const parsed = parse(unread)
      if (!parsed) break
      if ('status' in parsed) {
        await reply(parsed)
        break
      }
      unread = unread.subarray(parsed.length)
      requestId = randomUUID()
      void reply(handle(parsed.request))
    }
    reading = false
  }
  socket.on('data', chunk => {
    unread = Buffer.concat([unread, chunk])
    void read()
  })
}

/** The first whole request of the bytes; undefined while it is incomplete; a reply when it is none that is understood here. */
function parse(bytes: Buffer): { request: Request; length: number } | Response | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return bytes.length > MOST_HEAD_BYTES ? { status: 431, body: '' } : undefined
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const [method, target, version] = first.split(' ')
  if (!method || !target || !version?.startsWith('HTTP/1.')) return { status: 400, body: '' }
  const headers = new Map(
    lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    }),
  )
  if (headers.has('transfer-encoding')) return { status: 411, body: '' }
  const size = Number(headers.get('content-length') ?? 0)
  if (!Number.isSafeInteger(size) || size < 0) return { status: 400, body: '' }
  if (size > MOST_BODY_BYTES) return { status: 413, body: '' }
  const length = end + 4 + size
  return bytes.length < length ? undefined : { request: { method, target, headers }, length }
}

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  202: 'Accepted',
  206: 'Partial Content',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  411: 'Length Required',
  413: 'Request Entity Too Large',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  507: 'Insufficient Storage',
}

function textOf(response: Response, requestId: string | undefined): string {
  const { status, contentType, body } = response
  const head = [
    `HTTP/1.1 ${status} ${response.reason ?? reasons[status] ?? ''}`,
    ...(contentType ? [`content-type: ${contentType}`] : []),
    ...(requestId ? [`x-request-id: ${requestId}`] : []),
    'Pragma: no-cache',
    'Cache-Control: no-cache; no-store, must-revalidate, private',
    'Expires: Thu, 01 Jan 1970 00:00:00 UTC',
    `content-length: ${Buffer.byteLength(body)}`,
    `connection: ${status >= 400 ? 'close' : 'keep-alive'}`,
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
