/** Calls of the webhook as an API server makes them, by HTTP/1.1 and HTTP/2. */
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestHttps, type Agent } from 'node:https'
import { text as textOf } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'

interface Answer {
  status: number
  body: string
  /** The certificate that was shown. */
  serial: string
}

export interface Call {
  url: string
  ca: string
  body: string
}

export async function byHttp1(
  { url, ca, body }: Call,
  agent: Agent | false = false,
): Promise<Answer> {
  const request = requestHttps(new URL('/inject?timeout=3s', url), {
    method: 'POST',
    ca,
    agent,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  })
  request.end(body)
  const [response] = await once(request, 'response')
  request.on('error', () => {})
  const serial = response.socket.getPeerCertificate().serialNumber
  return { status: response.statusCode, body: await textOf(response), serial }
}

export async function byHttp2({ url, ca, body }: Call): Promise<Answer> {
  const { hostname: host, port } = new URL(url)
  const socket = connectTls({ host, port: Number(port), ca, ALPNProtocols: ['h2'] })
  const session = connectHttp2(url, { createConnection: () => socket })
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inject?timeout=3s',
      'content-type': 'application/json',
    })
    stream.end(body)
    const [headers] = await once(stream, 'response')
    const serial = socket.getPeerCertificate().serialNumber
    return { status: headers[':status'], body: await textOf(stream), serial }
  } finally {
    session.close()
  }
}
