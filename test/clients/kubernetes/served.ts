/** An API server of given answers over TLS, and the agent's client to it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { createKubernetes, type KubernetesConfig } from '../../../src/clients/kubernetes.ts'
import { wallClock } from '../../../src/clock.ts'
import { caFile, listen, type Answer } from '../listen.ts'

export const uid = '50364056-1a13-48da-b5a7-7f2ae2509631'

/** A server that answers from `answers` in turn, the last one again and again; what it was sent; and a client to it. */
export async function served(
  t: Test,
  answers: readonly { status: number; body?: unknown; headers?: Record<string, string> }[],
  options: { clock?: typeof wallClock; config?: Partial<KubernetesConfig> } = {},
) {
  const bodies: unknown[] = []
  const answer: Answer = (request, response) => {
    const now = answers[Math.min(bodies.length, answers.length - 1)]
    void text(request).then(body => {
      bodies.push(body === '' ? undefined : JSON.parse(body))
      if (now) reply(response, now)
    })
  }
  const server = await listen(t, answer, { tls: true })
  const tokenFile = `${t.testdir({ token: 'first' })}/token`
  const kubernetes = createKubernetes(
    {
      host: '127.0.0.1',
      port: Number(server.url.port),
      namespace: 't1',
      pod: 'p1',
      uid,
      container: 'torchserve',
      tokenFile,
      caFile,
      timeoutMs: 2_000,
      ...options.config,
    },
    options.clock ?? wallClock,
  )
  t.teardown(() => kubernetes.close())
  return { kubernetes, server, bodies, tokenFile }
}

export function reply(
  response: ServerResponse,
  { status, body, headers }: { status: number; body?: unknown; headers?: Record<string, string> },
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
