/** Which models TorchServe serves and what it says of each, without asking more often than it bears. */
import type { Processes } from '../clients/processes.ts'
import type { TorchServe } from '../clients/torchserve.ts'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Description, Worker } from '../model.ts'
import { readDescriptions } from './describe.ts'

/** Requests counted since TorchServe started, by model. */
export interface Traffic {
  atMs: number
  requests: ReadonlyMap<string, number>
}

/** What is known of one model after a look. */
export interface ModelLook {
  model: string
  /** Its versions when it was last described; absent before the first time. */
  known: { descriptions: readonly Description[]; atMs: number } | undefined
  /** Why it could not be described; absent when it was, or when it is not due. */
  why: string | undefined
}

export interface Look {
  models: readonly ModelLook[]
  /** When the management API last answered; absent: never. */
  reachedAtMs: number | undefined
  /** Why it could not be read in this look; absent when it could. */
  unreachable: string | undefined
  faults: readonly StokerError[]
}

/** What one look goes by, and what went wrong in it. */
interface Round {
  until: number
  urgent: ReadonlySet<string>
  traffic: Traffic | undefined
  faults: StokerError[]
  /** Set once there is no use in asking on. */
  stop: StokerError | undefined
}

interface Model {
  name: string
  known: ModelLook['known']
  why: string | undefined
  triedAtMs: number
  /** Learnt apart, as the description of all versions does not say it. */
  defaultVersion: { version: string; atMs: number } | undefined
  /** Requests when it was last described, and how many came per millisecond before. */
  arrivals: { atMs: number; requests: number; perMs: number } | undefined
}

/** Lists are read, the default version is asked, and models on GPUs are described this often. */
const seldomMs = 10_000
const atOnce = 4
const tooSlow = 'TorchServe was too slow to tell of all models'
/** Whoever is asked next would not answer either. */
const stopping = new Set<ErrorCode>([
  'TORCHSERVE_UNREACHABLE',
  'TORCHSERVE_TIMEOUT',
  'TORCHSERVE_TLS',
  'TORCHSERVE_UNAUTHORIZED',
  'KEY_FILE_UNREADABLE',
])

export interface ModelWatchOptions {
  torchserve: Pick<TorchServe, 'listModels' | 'describe' | 'describeDefault' | 'url'>
  /** Tells whether workers are alive; absent: unknown. */
  processes: Pick<Processes, 'isWorker' | 'use'> | undefined
  clock: Clock
  /** After this nothing more is asked in a look, so it takes at most this and one call. */
  timeoutMs: number
}

export class ModelWatch {
  readonly #torchserve: ModelWatchOptions['torchserve']
  readonly #processes: ModelWatchOptions['processes']
  readonly #clock: Clock
  readonly #timeoutMs: number
  #models = new Map<string, Model>()
  #listedAtMs: number | undefined
  /** Models with requests that are not listed: unregistered ones keep their counters. */
  #strangers = new Set<string>()
  #reachedAtMs: number | undefined

  constructor({ torchserve, processes, clock, timeoutMs }: ModelWatchOptions) {
    this.#torchserve = torchserve
    this.#processes = processes
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /**
   * Looks once. Models without GPU workers are described each time; the others every 10 s, when `urgent` names them, or when more
   * requests came than the rate before explains. Never throws.
   */
  async look(urgent: ReadonlySet<string>, traffic: Traffic | undefined): Promise<Look> {
    const until = this.#clock.now() + this.#timeoutMs
    const round: Round = { until, urgent, traffic, faults: [], stop: undefined }
    if (this.#mustList(traffic)) await this.#list(round)
    // Those that waited longest first, so that time running out hits all alike.
    const due = [...this.#models.values()]
      .filter(model => round.stop || this.#isDue(model, round))
      .toSorted((a, b) => a.triedAtMs - b.triedAtMs)
    const next = async () => {
      for (let model = due.shift(); model; model = due.shift()) {
        if (round.stop) model.why = round.stop.message
        else if (this.#clock.now() >= until) model.why = tooSlow
        else await this.#describe(model, round)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, next))
    return {
      models: [...this.#models.values()].map(({ name, known, why }) => ({
        model: name,
        known,
        why,
      })),
      reachedAtMs: this.#reachedAtMs,
      unreachable: round.stop?.message,
      faults: round.faults,
    }
  }

  #mustList(traffic: Traffic | undefined): boolean {
    if (this.#listedAtMs === undefined) return true
    if (this.#clock.now() - this.#listedAtMs >= seldomMs) return true
    return (traffic?.requests.keys().toArray() ?? []).some(
      name => !this.#models.has(name) && !this.#strangers.has(name),
    )
  }

  async #list(round: Round): Promise<void> {
    this.#listedAtMs = undefined
    try {
      const names = await this.#torchserve.listModels()
      this.#models = new Map(names.map(name => [name, this.#models.get(name) ?? newModel(name)]))
      const counted = round.traffic?.requests.keys().toArray() ?? []
      this.#strangers = new Set(counted.filter(name => !this.#models.has(name)))
      this.#listedAtMs = this.#reachedAtMs = this.#clock.now()
    } catch (error) {
      round.stop = note(error, round)
    }
  }

  #isDue(model: Model, { urgent, traffic }: Round): boolean {
    const onGpu = model.known?.descriptions.some(version => version.workers.some(w => w.gpu))
    if (!onGpu || urgent.has(model.name)) return true
    // TorchServe runs nvidia-smi once per GPU worker to describe a model.
    if (this.#clock.now() - model.triedAtMs >= seldomMs || isPressed(model, traffic)) return true
    const lastWentWell = model.known !== undefined && model.known.atMs >= model.triedAtMs
    if (lastWentWell) model.why = undefined
    return false
  }

  async #describe(model: Model, round: Round): Promise<void> {
    model.triedAtMs = this.#clock.now()
    try {
      const descriptions = await this.#versions(model, round.until)
      model.known = { descriptions, atMs: this.#clock.now() }
      model.why = undefined
      model.arrivals = nextArrivals(model, round.traffic)
      this.#reachedAtMs = this.#clock.now()
    } catch (error) {
      const fault = note(error, round)
      model.why = fault.message
      const gone = fault.code === 'TORCHSERVE_NOT_FOUND'
      if (gone) this.#models.delete(model.name)
      if (stopping.has(fault.code)) round.stop = fault
      // The next look then begins with the list: one question to a TorchServe that may be frozen.
      if (gone || round.stop) this.#listedAtMs = undefined
    }
  }

  async #versions(model: Model, until: number): Promise<Description[]> {
    const asked = `Description of model ${model.name} at ${this.#torchserve.url}`
    const reply = await this.#torchserve.describe(model.name)
    const found = readDescriptions(reply, asked)
    if (found.length > 1 && this.#mustAskDefault(model, found)) {
      if (this.#clock.now() >= until) {
        throw new StokerError(
          'TORCHSERVE_TIMEOUT',
          `${asked}: no time left to ask its default version`,
        )
      }
      const [first] = readDescriptions(await this.#torchserve.describeDefault(model.name), asked)
      model.defaultVersion = first && { version: first.id.version, atMs: this.#clock.now() }
    }
    const versions = readDescriptions(reply, asked, model.defaultVersion?.version)
    return versions.map(version => ({
      ...version,
      workers: version.workers.map(w => this.#live(w)),
    }))
  }

  #mustAskDefault({ defaultVersion, known }: Model, found: readonly Description[]): boolean {
    if (!defaultVersion || this.#clock.now() - defaultVersion.atMs >= seldomMs) return true
    return found.length !== known?.descriptions.length || !found.some(isVersion(defaultVersion))
  }

  #live(worker: Worker): Worker {
    if (worker.pid === undefined) return worker
    const alive = this.#processes?.isWorker(worker.pid)
    return { ...worker, alive, use: alive ? this.#processes?.use(worker.pid) : undefined }
  }
}

function note(error: unknown, round: Round): StokerError {
  const fault =
    error instanceof StokerError ? error : new StokerError('TORCHSERVE_FAILED', String(error))
  // Gone between the list and the question: the next look does without it.
  if (fault.code !== 'TORCHSERVE_NOT_FOUND') round.faults.push(fault)
  return fault
}

function newModel(name: string): Model {
  const unknown = { known: undefined, defaultVersion: undefined, arrivals: undefined }
  return { name, why: 'not described yet', triedAtMs: -Infinity, ...unknown }
}

function isVersion({ version }: { version: string }): (description: Description) => boolean {
  return description => description.id.version === version
}

/** More requests since the last description than the rate before explains (three sigma), or fewer: a restart. */
function isPressed(model: Model, traffic: Traffic | undefined): boolean {
  const requests = traffic?.requests.get(model.name)
  if (traffic === undefined || requests === undefined) return false
  if (!model.arrivals) return true
  const arrived = requests - model.arrivals.requests
  const expected = model.arrivals.perMs * (traffic.atMs - model.arrivals.atMs)
  return arrived < 0 || arrived > expected + 3 * Math.sqrt(expected) + 3
}

function nextArrivals(model: Model, traffic: Traffic | undefined): Model['arrivals'] {
  if (!traffic) return model.arrivals
  const requests = traffic.requests.get(model.name) ?? 0
  const { atMs } = traffic
  const before = model.arrivals
  if (!before || atMs <= before.atMs) return before ?? { atMs, requests, perMs: 0 }
  return { atMs, requests, perMs: Math.max(0, requests - before.requests) / (atMs - before.atMs) }
}
