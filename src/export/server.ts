import Fastify from 'fastify'
import type { FastifyError, FastifyInstance } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import type { DrainRequest } from '../model.ts'
import { StokerError } from '../errors.ts'
import { loadAssets } from './assets.ts'
import type { Asset } from './assets.ts'
import { createDrain } from './drain.ts'
import { createHistory } from './history.ts'
import type { State } from './history.ts'
import { DECISIONS_MAX } from './log.ts'
import { createMetrics } from './metrics.ts'
import { oneOf, readQuery, wholeNumber } from './query.ts'
import { createScaling } from './scaling.ts'
import type { Tick } from './tick.ts'

export interface Export {
  /** Takes in one tick; called by the loop, never throws for a tick that fits the types. */
  record(tick: Tick): void
  /** Whether somebody wants the pod drained, at this moment. */
  drain: () => DrainRequest | undefined
  /** Starts to serve and resolves with the URL. Throws StokerError LISTEN_FAILED. */
  listen(): Promise<string>
  close(): Promise<void>
}

export interface ExportOptions {
  config: Pick<Config, 'mode' | 'tickMs' | 'drainMs' | 'listenHost' | 'listenPort'>
  clock: Clock
  version: string
  logger?: { error(fields: object, message: string): void }
}

/** What the agent shows: /metrics, /scaling, /decisions, /healthz, /state and the page at /; and /drain. */
export function createExport({ config, clock, version, logger }: ExportOptions): Export {
  const history = createHistory()
  const startedAtMs = clock.now()
  let recordedAtMs = startedAtMs
  const late = () => {
    const ageMs = clock.now() - recordedAtMs
    const limitMs = Math.max(10_000, 5 * config.tickMs)
    if (ageMs < limitMs) return undefined
    return `The loop has not run for ${Math.round(ageMs / 1000)} s; the limit is ${limitMs / 1000} s.`
  }

  const metrics = createMetrics({ mode: config.mode, version, late })
  const app = createServer(logger)
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render()),
  )
  app.get('/healthz', async (_request, reply) => {
    const reason = late()
    if (reason === undefined) return { status: 'ok' }
    return reply.code(503).send({ status: 'failed', reason })
  })
  const scaling = createScaling(app, late)
  const drain = createDrain(app, { longestMs: config.drainMs, clock })
  app.get('/decisions', request => {
    const query = readQuery(request.query, ['pool', 'limit'])
    const pool = oneOf('pool', query.pool, history.keys())
    const bounds = { min: 1, max: DECISIONS_MAX, fallback: DECISIONS_MAX }
    const limit = wholeNumber('limit', query.limit, bounds)
    const decisions = history.decisions(pool).slice(0, limit)
    if (pool !== undefined) return { decisions }
    const resizes = history.resizes().slice(0, limit)
    return { decisions, resizes, deletionCosts: history.deletionCosts().slice(0, limit) }
  })
  app.get('/state', (request): State => {
    const { since } = readQuery(request.query, ['since'])
    const bounds = { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: 0 }
    const sinceMs = wholeNumber('since', since, bounds)
    const agent = { version, mode: config.mode, startedAtMs, tickMs: config.tickMs }
    return { agent, nowMs: clock.now(), ...history.state(sinceMs) }
  })

  return {
    record(tick) {
      recordedAtMs = clock.now()
      metrics.record(tick)
      history.record(tick)
      scaling.record(tick)
      drain.record(tick)
    },
    drain: drain.request,
    async listen() {
      const assets = await loadAssets()
      for (const asset of assets) serveAsset(app, asset)
      return listenOn(app, config)
    },
    close: () => app.close(),
  }
}

const LIMITS = {
  connections: 128,
  headerBytes: 8_192,
  bodyBytes: 1_024,
  /** Without a byte in either direction. */
  connectionTimeoutMs: 10_000,
  /** From the first to the last byte of a request. */
  requestTimeoutMs: 5_000,
  /** Longer than the usual scrape interval of 15 s, so that Prometheus keeps its connection. */
  keepAliveMs: 20_000,
} as const

function createServer(logger: ExportOptions['logger']) {
  const app = Fastify({
    http: { maxHeaderSize: LIMITS.headerBytes, connectionsCheckingInterval: 1_000 },
    connectionTimeout: LIMITS.connectionTimeoutMs,
    requestTimeout: LIMITS.requestTimeoutMs,
    keepAliveTimeout: LIMITS.keepAliveMs,
    bodyLimit: LIMITS.bodyBytes,
    forceCloseConnections: true,
  })
  app.server.maxConnections = LIMITS.connections
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
  })
  app.setNotFoundHandler(async (request, reply) => {
    const message = `There is no ${request.method} ${request.url.slice(0, 200)}; try GET /, /metrics, /scaling, /decisions, /healthz or /state.`
    return reply.code(404).send({ error: { code: 'NOT_FOUND', message } })
  })
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500
    if (status < 500)
      return reply.code(status).send({ error: { code: error.code, message: error.message } })
    logger?.error({ err: error, url: request.url }, 'A request could not be answered.')
    const message = 'The agent failed to answer; its log has the error.'
    return reply.code(status).send({ error: { code: 'INTERNAL', message } })
  })
  return app
}

function serveAsset(app: FastifyInstance, { path, type, etag, body }: Asset) {
  app.get(path, async (request, reply) => {
    // Names carry no version: the browser asks each time, and gets the body only after an upgrade.
    reply.headers({ 'cache-control': 'no-cache', etag })
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    return reply.type(type).send(body)
  })
}

async function listenOn(
  app: FastifyInstance,
  { listenHost: host, listenPort: port }: ExportOptions['config'],
): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    const why = { EADDRINUSE: 'the port is in use', EACCES: 'the port needs privileges' }[code]
    throw new StokerError(
      'LISTEN_FAILED',
      `STOKER_LISTEN_PORT: cannot listen on ${host}:${port} (${why ?? code})`,
      { cause: error },
    )
  }
}
