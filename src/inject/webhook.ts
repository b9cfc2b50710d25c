/** `stoker webhook`: serves reviews until told to stop, with certificates that never run out. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { createCertifier } from './authority.ts'
import { pairOf, type Pair } from './certificates.ts'
import type { Cluster, Names } from './cluster.ts'
import { createAnnouncer } from './events.ts'
import type { Options } from './inject.ts'
import type { Lives } from './renewal.ts'
import { createReviewer, type Answer } from './review.ts'
import { createHealthServer, createReviewServer, type ReviewServer } from './server.ts'
import { createWebhookMetrics, type WebhookMetrics } from './webhook-metrics.ts'

/** Our own authority, or files that somebody else renews. */
export type Certificates =
  | { kind: 'own'; passMs: number; names: Names; hosts: readonly string[]; lives: Lives }
  | { kind: 'files'; passMs: number; folder: string }

export interface WebhookParts {
  options: Options
  strict: boolean
  host: string
  port: number
  healthPort: number
  certificates: Certificates
  cluster: Cluster
  clock: Clock
  log: Log
}

interface Log {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
}

const RETRY_MS = 2_000
/** Kubernetes needs this long to send nobody here any more. */
const DRAIN_MS = 5_000
const SETTLE_MS = 2_000

/** Resolves when `signal` has aborted and the calls in flight are answered. */
export async function runWebhook(parts: WebhookParts, signal: AbortSignal): Promise<void> {
  const { options, strict, host, port, healthPort, cluster, clock, log } = parts
  const metrics = createWebhookMetrics()
  const announcer = createAnnouncer(
    event => cluster.post(event),
    clock,
    error => {
      metrics.eventFailed()
      log.warn({ err: error }, 'An Event could not be written.')
    },
  )
  const review = createReviewer(options, strict)
  const answer = (body: unknown): object | undefined => {
    const startedMs = clock.now()
    const reviewed = review(body)
    if (reviewed) tell(reviewed, (clock.now() - startedMs) / 1000)
    return reviewed?.body
  }
  /** Whatever fails here must not keep the answer from being sent. */
  function tell(reviewed: Answer, seconds: number): void {
    try {
      metrics.reviewed(reviewed, seconds)
      const { pod, outcome, reasons, error } = reviewed
      const fields = { pod, outcome, reasons, ...(error !== undefined && { err: error }) }
      if (error === undefined) log.info(fields, `${pod}: ${outcome}`)
      else log.warn(fields, `${pod}: the review failed`)
      announcer.announce(reviewed)
    } catch (error) {
      log.warn({ err: error }, 'A review could not be told of.')
    }
  }

  let server: ReviewServer | undefined
  let leaf: Pair | undefined
  const first = Promise.withResolvers<Pair | undefined>()
  signal.addEventListener('abort', () => first.resolve(undefined), { once: true })
  const show = (next: Pair) => {
    leaf = next
    first.resolve(next)
    metrics.certified(next.untilMs)
    server?.show(next)
    log.info({ until: new Date(next.untilMs).toISOString() }, 'A new certificate is shown.')
  }
  const unready = () => {
    if (signal.aborted) return 'The webhook is stopping.'
    if (!server || !leaf) return 'There is no certificate yet.'
    return leaf.untilMs > clock.now() ? undefined : 'The certificate has expired.'
  }
  const health = createHealthServer({ host, port: healthPort }, { ...metrics, unready })
  log.info({ healthUrl: await health.listen() }, 'Health and metrics are served.')
  const renewing = renew(parts, show, metrics, signal)
  const shown = await first.promise
  if (shown) {
    server = createReviewServer(shown, { host, port }, answer)
    log.info({ url: await server.listen(), strict }, 'Pods are reviewed.')
    await renewing
    await clock.sleep(DRAIN_MS)
    await server.close()
  }
  await Promise.race([announcer.settled(), clock.sleep(SETTLE_MS)])
  await health.close()
}

/** Passes over the certificates until the end, more often while the first has not succeeded. */
async function renew(
  { certificates, cluster, clock, log }: WebhookParts,
  show: (leaf: Pair) => void,
  metrics: WebhookMetrics,
  signal: AbortSignal,
): Promise<void> {
  const pass = passFor(certificates, cluster, clock, show)
  let failed = true
  while (!signal.aborted) {
    try {
      await pass()
      failed = false
    } catch (error) {
      failed = true
      metrics.certificateFailed()
      log.warn({ err: error }, 'The certificates could not be looked after; trying again.')
    }
    await clock.sleep(failed ? RETRY_MS : certificates.passMs, signal)
  }
}

function passFor(
  certificates: Certificates,
  cluster: Cluster,
  clock: Clock,
  show: (leaf: Pair) => void,
): () => Promise<void> {
  if (certificates.kind === 'files') return watchFiles(certificates.folder, show)
  const { names, hosts, lives } = certificates
  return createCertifier({ store: cluster.store(names), names: hosts, lives, clock, show })
}

/** A Secret’s files change all at once by a link’s exchange, which watching a file would miss: they are read each time. */
function watchFiles(folder: string, show: (leaf: Pair) => void): () => Promise<void> {
  let shown = ''
  return async () => {
    const [cert = '', key = ''] = await Promise.all(
      ['tls.crt', 'tls.key'].map(name => readFile(join(folder, name), 'utf8')),
    )
    if (cert + key === shown) return
    show(pairOf(cert, key))
    shown = cert + key
  }
}
