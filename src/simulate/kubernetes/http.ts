/** The emulated API server on a socket, over TLS as the real one. */
import { createServer } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiServer } from './api.ts'

/** What the real one takes. */
const MOST_BYTES = 3 * 1024 * 1024

/** @throws Error of node:net when the port is taken */
export async function listen(
  api: Pick<ApiServer, 'handle'>,
  /** PEM. */
  { cert, key }: { cert: string; key: string },
  port: number,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer({ key, cert }, (request, response) => {
    answer(api, request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  api: Pick<ApiServer, 'handle'>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url = '', headers } = request
  const { authorization, 'content-type': type, 'user-agent': agent } = headers
  const body = await bodyOf(request)
  if (body === undefined) return void response.writeHead(413).end()
  const said = await api.handle({
    method,
    target: url,
    headers: { authorization, 'content-type': type, 'user-agent': agent },
    body,
  })
  if (said === 'silence') return
  if (said === 'reset') return void request.socket.destroy()
  const retryAfter = said.status === 429 ? { 'retry-after': '1' } : {}
  response.writeHead(said.status, {
    'content-type': 'application/json',
    ...retryAfter,
    ...said.headers,
  })
  response.end(JSON.stringify(said.body))
}

async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MOST_BYTES) return undefined
  }
  return Buffer.concat(chunks).toString()
}
