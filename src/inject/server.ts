/** The webhook's two servers: reviews over TLS for the API server; metrics and health in plain for the rest of the cluster. */
import type { SecureServerOptions } from 'node:http2'
import Fastify, { type FastifyInstance } from 'fastify'
import { StokerError } from '../errors.ts'
import type { Pair } from './certificates.ts'

export interface ReviewServer {
  /** Resolves with the URL to call. Throws LISTEN_FAILED. */
  listen(): Promise<string>
  /** New connections get this certificate; those that are open keep theirs. */
  show(leaf: Pick<Pair, 'cert' | 'key'>): void
  /** Ends when the calls that are running have ended. */
  close(): Promise<void>
}

export interface Address {
  host: string
  port: number
}

const LIMITS = {
  /** A review holds a pod of up to 1.5 MB twice, and JSON may double what it escapes. */
  bodyBytes: 10 * 1024 * 1024,
  headerBytes: 16_384,
  connections: 512,
  /** The API server keeps its connections; Go's keep-alive is 90 s. */
  idleMs: 120_000,
  /** The API server gives up after 30 s at most. */
  requestMs: 30_000,
} as const

/** `answer` gets the parsed body of a review; undefined says that it was none. */
export function createReviewServer(
  leaf: Pick<Pair, 'cert' | 'key'>,
  address: Address,
  answer: (body: unknown) => object | undefined,
): ReviewServer {
  const app = Fastify({
    http2: true,
    https: tls(leaf),
    http2SessionTimeout: LIMITS.idleMs,
    bodyLimit: LIMITS.bodyBytes,
    requestTimeout: LIMITS.requestMs,
    forceCloseConnections: 'idle',
    // Keys that would reach an object's prototype are no concern of ours, and no reason to miss the pod.
    onProtoPoisoning: 'remove',
    onConstructorPoisoning: 'remove',
  })
  app.server.maxConnections = LIMITS.connections
  app.post('/inject', async (request, reply) => {
    const body = answer(request.body)
    if (body) return body
    return reply.code(400).send({ error: 'The body is no AdmissionReview of admission.k8s.io/v1.' })
  })
  return {
    listen: () => listenOn(app, address),
    show: ({ cert, key }) => app.server.setSecureContext({ cert, key }),
    close: () => app.close(),
  }
}

const tls = ({ cert, key }: Pick<Pair, 'cert' | 'key'>): SecureServerOptions => ({
  allowHTTP1: true,
  cert,
  key,
  minVersion: 'TLSv1.2',
  maxHeaderListPairs: 64,
  settings: { maxConcurrentStreams: 250, maxHeaderListSize: LIMITS.headerBytes },
})

export interface Health {
  /** Undefined while the webhook can be called; otherwise why not. */
  unready(): string | undefined
  render(): Promise<string>
  contentType: string
}

/** `/healthz`: the process answers. `/readyz`: pods can be injected. `/metrics`. */
export function createHealthServer(address: Address, health: Health) {
  const app = Fastify({
    bodyLimit: 1_024,
    requestTimeout: 5_000,
    keepAliveTimeout: 20_000,
    forceCloseConnections: true,
  })
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const reason = health.unready()
    return reason === undefined
      ? { status: 'ok' }
      : reply.code(503).send({ status: 'failed', reason })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(health.contentType).send(await health.render()),
  )
  return { listen: () => listenOn(app, address), close: () => app.close() }
}

async function listenOn(
  app: Pick<FastifyInstance, 'listen'>,
  { host, port }: Address,
): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new StokerError('LISTEN_FAILED', `Cannot listen on ${host}:${port} (${code})`, {
      cause: error,
    })
  }
}
