/** One look at TorchServe: its models, their workers and queues, and the counters of each pool. */
import type { Processes } from '../clients/processes.ts'
import type { TorchServe } from '../clients/torchserve.ts'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Counters, Description, Note, Observation, PoolSeen, Reading } from '../model.ts'
import { Attribution, counterNames, predictionName, readPage, requestsByModel } from './counters.ts'
import type { Page } from './counters.ts'
import { parseExposition } from './exposition.ts'
import { ModelWatch } from './models.ts'
import type { Look, ModelLook, Traffic } from './models.ts'

export interface TorchServeObserverOptions {
  torchserve: Pick<
    TorchServe,
    'metrics' | 'listModels' | 'describe' | 'describeDefault' | 'ping' | 'url'
  >
  /** Tells whether workers are alive; absent where processes cannot be seen. */
  processes?: Pick<Processes, 'isWorker' | 'use'>
  clock: Clock
  /** The limit of one call; a look takes at most twice as long. */
  timeoutMs: number
}

export interface TorchServeObserver {
  /**
   * Looks once. Never throws: what could not be read is stale or absent, and a note says why. `urgent`: models that
   * are described now even on GPUs.
   */
  observe(urgent: ReadonlySet<string>): Promise<TorchServeSeen>
}

/** The part of an observation that TorchServe tells. */
type TorchServeSeen = Pick<Observation, 'atMs' | 'torchserve' | 'pools' | 'notes'>

interface Dated<T> {
  value: T
  atMs: number
}

const forgottenMs = 30_000
/** /ping is asked this often: TorchServe takes as long to turn it red, and kubelets ask no more often. */
const pingMs = 5_000

export function createTorchServeObserver(options: TorchServeObserverOptions): TorchServeObserver {
  return new Observer(options)
}

class Observer implements TorchServeObserver {
  readonly #torchserve: TorchServeObserverOptions['torchserve']
  readonly #clock: Clock
  readonly #watch: ModelWatch
  readonly #attribution = new Attribution()
  #traffic: Traffic | undefined
  #counted = new Map<string, Dated<Counters>>()
  #pinged: { atMs: number; fault: StokerError | undefined } | undefined

  constructor({ torchserve, processes, clock, timeoutMs }: TorchServeObserverOptions) {
    this.#torchserve = torchserve
    this.#clock = clock
    this.#watch = new ModelWatch({ torchserve, processes, clock, timeoutMs })
  }

  async observe(urgent: ReadonlySet<string>): Promise<TorchServeSeen> {
    const [page, look, sick] = await Promise.all([
      this.#readPage(),
      this.#watch.look(urgent, this.#traffic),
      this.#ping(),
    ])
    const nowMs = this.#clock.now()
    // A TorchServe that is away is away at each of its ports: that is said once, of management.
    const others = [page, sick]
      .filter(each => each instanceof StokerError)
      .filter(({ code }) => !look.faults.some(fault => fault.code === code))
    const faults = [...look.faults, ...others]
    this.#count(page, look)
    const pools = look.models.flatMap(model => this.#poolsOf(model, page, nowMs))
    return { atMs: nowMs, torchserve: this.#reach(look, nowMs), pools, notes: notesOf(faults) }
  }

  /** The page with every counter on it that TorchServe has, or why there is none. */
  async #readPage(): Promise<Dated<Page> | StokerError> {
    try {
      const text = await this.#torchserve.metrics([...counterNames, predictionName])
      const atMs = this.#clock.now()
      let badLines = 0
      const samples = parseExposition(text, () => badLines++)
      const missing = counterNames.filter(name => !samples.some(sample => sample.name === name))
      // Asked by name, a counter without a series yet and one that never comes look the same; the whole page tells them apart.
      if (missing.length > 0) demand(missing, await this.#torchserve.metrics([]), badLines)
      return { value: readPage(samples), atMs }
    } catch (error) {
      return error instanceof StokerError
        ? error
        : new StokerError('TORCHSERVE_FAILED', `Metrics: ${String(error)}`)
    }
  }

  /** What is wrong with TorchServe’s own opinion of its health, as of the last pingMs. */
  async #ping(): Promise<StokerError | undefined> {
    const askedMs = this.#clock.now()
    if (this.#pinged && askedMs - this.#pinged.atMs < pingMs) return this.#pinged.fault
    let fault: StokerError | undefined
    try {
      const health = await this.#torchserve.ping()
      if (health === 'unhealthy') {
        fault = new StokerError('TORCHSERVE_UNHEALTHY', 'TorchServe’s /ping answers 500')
      }
    } catch (error) {
      // What is wrong with the address or the token is said of management already; here it matters only by itself.
      fault = error instanceof StokerError ? error : undefined
    }
    this.#pinged = { atMs: askedMs, fault }
    return fault
  }

  #count(page: Dated<Page> | StokerError, look: Look): void {
    if (page instanceof StokerError) {
      if (hasNoCounters(page.code)) this.#counted.clear()
      return
    }
    this.#traffic = { atMs: page.atMs, requests: requestsByModel(page.value) }
    const models = look.models.flatMap(({ known }) => (known ? [known.descriptions] : []))
    const counts = this.#attribution.count(page.value, models)
    this.#counted = new Map(
      models.flatMap(versions =>
        versions.flatMap(version => {
          const value = counts.get(version)
          return value ? [[keyOf(version, versions), { value, atMs: page.atMs }]] : []
        }),
      ),
    )
  }

  #poolsOf(look: ModelLook, page: Dated<Page> | StokerError, nowMs: number): PoolSeen[] {
    const { known, model } = look
    if (!known) {
      const why = look.why ?? 'not described yet'
      const absent = { state: 'absent', why } as const
      return [{ key: model, description: absent, counters: absent }]
    }
    const whyNotCounted = page instanceof StokerError ? page.message : undefined
    return known.descriptions.map(value => {
      const key = keyOf(value, known.descriptions)
      return {
        key,
        description: reading({ value, atMs: known.atMs }, nowMs, look.why),
        counters: reading(this.#counted.get(key), nowMs, whyNotCounted),
      }
    })
  }

  #reach(look: Look, nowMs: number): Observation['torchserve'] {
    const last =
      look.reachedAtMs === undefined
        ? undefined
        : { value: { url: this.#torchserve.url }, atMs: look.reachedAtMs }
    return reading(last, nowMs, look.unreachable)
  }
}

/** `resnet` for a model with one version, else `resnet:2.0`; a model with a colon in its name may collide with that. */
function keyOf({ id }: Description, versions: readonly Description[]): string {
  return versions.length === 1 ? id.model : `${id.model}:${id.version}`
}

/** Fresh without a `why`; else stale for 30 s, then absent. */
function reading<T>(
  last: Dated<T> | undefined,
  nowMs: number,
  why: string | undefined,
): Reading<T> {
  if (!last) return { state: 'absent', why: why ?? 'not seen yet' }
  if (why === undefined) return { state: 'fresh', ...last }
  const age = nowMs - last.atMs
  if (age > forgottenMs) return { state: 'absent', why: `last seen ${seconds(age)} ago: ${why}` }
  return { state: 'stale', ...last, why: `${seconds(age)} old: ${why}` }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}

/** Throws METRICS_MODE_LOG or METRICS_INCOMPLETE unless the whole page says that it has these counters. */
function demand(missing: readonly string[], wholePage: string, badLines: number): void {
  if (wholePage.trim() === '') {
    throw new StokerError('METRICS_MODE_LOG', 'TorchServe’s metrics page is empty')
  }
  const lines = new Set(wholePage.split('\n').map(line => line.trimEnd()))
  const never = missing.filter(name => !lines.has(`# TYPE ${name} counter`))
  if (never.length === 0) return
  const bad = badLines > 0 ? ` (${badLines} lines of it cannot be read)` : ''
  const detail = `TorchServe’s metrics page has no counter ${never.join(', ')}${bad}`
  throw new StokerError('METRICS_INCOMPLETE', detail)
}

function hasNoCounters(code: ErrorCode): boolean {
  return code === 'METRICS_MODE_LOG' || code === 'METRICS_INCOMPLETE'
}

function notesOf(faults: readonly StokerError[]): Note[] {
  const notes = faults.map(({ code, message }) => ({ code, message }))
  return [...new Map(notes.map(note => [`${note.code} ${note.message}`, note])).values()]
}
