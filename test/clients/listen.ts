import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import type { Test } from 'tap'

const tls = new URL('../captures/tls/', import.meta.url)
/** A self-signed certificate for localhost and 127.0.0.1, and its own CA. */
export const caFile = new URL('cert.pem', tls).pathname

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/**
 * A server on loopback that ends with the test; it writes down `PUT /models/m?…` and the headers of every request, and the
 * connections that are open.
 */
export async function listen(t: Test, answer: Answer, options: { tls?: boolean } = {}) {
  const asked: string[] = []
  const headers: IncomingMessage['headers'][] = []
  const handle: Answer = (request, response) => {
    asked.push(`${request.method} ${request.url}`)
    headers.push(request.headers)
    answer(request, response)
  }
  const pair = { key: readFileSync(new URL('key.pem', tls)), cert: readFileSync(caFile) }
  const server = options.tls
    ? createTlsServer({ ...pair, maxVersion: 'TLSv1.2' }, handle)
    : createServer(handle)
  return { ...(await opened(t, server, options.tls ? 'https' : 'http')), asked, headers }
}

/** Starts any TCP server, and counts its connections. */
export async function opened(t: Test, server: Server, scheme = 'http') {
  const open = new Set<Socket>()
  let most = 0
  server.on('connection', socket => {
    open.add(socket)
    most = Math.max(most, open.size)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return { url: new URL(`${scheme}://127.0.0.1:${portOf(server)}`), open, most: () => most }
}

export function portOf(server: Server): number {
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('the server does not listen')
  return address.port
}

/** Answers as TorchServe does: pretty JSON, and no further request on the connection of an error. */
export function send(response: ServerResponse, status: number, body: unknown): void {
  const text = typeof body === 'string' ? body : `${JSON.stringify(body, null, 2)}\n`
  const type =
    typeof body === 'string' ? 'text/plain; version=0.0.4; charset=utf-8' : 'application/json'
  if (status >= 400) response.setHeader('connection', 'close')
  response.writeHead(status, { 'content-type': type }).end(text)
}

export const unknownPath = {
  code: 404,
  type: 'ResourceNotFoundException',
  message: 'Requested resource is not found, please refer to API document.',
}
export const tokenRefused = {
  code: 400,
  type: 'InvalidKeyException',
  message: 'Token Authorization failed. Token either incorrect, expired, or not provided correctly',
}

/** Resolves once `condition` holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2))
}
