import type { Clock } from '../../clock.ts'
import type { Processes } from '../../clients/processes.ts'
import { random } from '../random.ts'
import { collect } from './collector.ts'
import { describe } from './describe.ts'
import { Device } from './device.ts'
import { page } from './exposition.ts'
import { Failure, type Answer, type Job } from './job.ts'
import { Machine } from './machine.ts'
import { Metrics } from './metrics.ts'
import { withDefaults, type TorchServeOptions } from './options.ts'
import { Pool, type Server } from './pool.ts'
import type { Process } from './process.ts'

const FIRST_WORKER_ID = 9_000
const HOSTNAME = 'emulated'
const MOST_PER_PAGE = 100

/** All versions of one model. */
interface Versions {
  pools: Map<string, Pool>
  defaultVersion: string
}

/** Whom a call is for; without a version, the default one. */
export interface Target {
  model: string
  version?: string | undefined
}

/** An emulated TorchServe without its HTTP: it runs on any clock, and is repeatable with a seed. */
export class TorchServeCore implements Server {
  readonly clock: Clock
  readonly seed: number
  readonly handoverMs: number
  readonly free: Device
  metrics = new Metrics(HOSTNAME)
  readonly #options: TorchServeOptions
  readonly #machine: Machine
  #devices = new Map<string, Device>()
  #models = new Map<string, Versions>()
  #nextWorkerId = FIRST_WORKER_ID
  #up: AbortController | undefined
  #frozen: PromiseWithResolvers<void> | undefined

  /** Starts with all models' workers loading. */
  constructor(options: TorchServeOptions, clock: Clock) {
    this.#options = options
    this.clock = clock
    this.seed = options.seed ?? 1
    this.handoverMs = options.handoverMs ?? 0
    this.free = new Device(clock)
    this.#machine = new Machine(() => this.#pools().map(({ all }) => all))
    this.start()
  }

  /** The worker processes as an agent in the same pod sees them. */
  get processes(): Processes {
    return this.#machine
  }

  /** After a stop: ids and counters begin anew. */
  start(): void {
    const up = new AbortController()
    this.#up = up
    this.#nextWorkerId = FIRST_WORKER_ID
    this.metrics = new Metrics(HOSTNAME)
    this.#devices = new Map(
      Object.entries(this.#options.devices ?? {}).map(([name, contention]) => [
        name,
        new Device(this.clock, contention),
      ]),
    )
    this.#models = new Map()
    for (const model of this.#options.models.map(withDefaults)) {
      const pool = new Pool(model, this)
      const versions = this.#models.get(model.name) ?? {
        pools: new Map<string, Pool>(),
        defaultVersion: model.version,
      }
      versions.pools.set(model.version, pool)
      this.#models.set(model.name, versions)
      void pool.scale(model.workers, model.workers)
    }
    void collect({
      clock: this.clock,
      intervalMs: (this.#options.metricIntervalSec ?? 60) * 1_000,
      machine: this.#machine,
      metrics: this.metrics,
      draws: random(this.seed, 'collector'),
      workers: () => this.#pools().flatMap(({ all }) => all),
      signal: up.signal,
    })
  }

  /** Without drain, as on SIGTERM: whatever is in the queue or under way is never answered. */
  stop(): void {
    this.#up?.abort()
    this.thaw()
    for (const pool of this.#pools()) pool.vanish()
    this.#models.clear()
  }

  /** As SIGSTOP does to TorchServe: its worker processes finish what they have, and nothing else happens. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers()
  }

  thaw(): void {
    this.#frozen?.resolve()
    this.#frozen = undefined
  }

  frozen(): Promise<void> | undefined {
    return this.#frozen?.promise
  }

  /** Ends a worker's process as the kernel or a person would. */
  kill(pid: number, exitCode = 137): void {
    this.#machine.kill(pid, exitCode)
  }

  /** A prediction; never resolves when TorchServe would leave the client waiting. @throws Failure 404 */
  async infer(target: Target): Promise<Answer> {
    if (this.#frozen) await this.#frozen.promise
    if (this.#up?.signal.aborted) return { status: 0, executions: 0, queuedMs: 0 }
    const pool = this.#pool(target)
    const versionLabel = target.version ?? 'default'
    this.metrics.arrived(target.model, versionLabel)
    const version = target.version === undefined ? '' : `" Version ${target.version}`
    const refusal = `Model "${target.model}${version}" has no worker to serve inference request. Please use scale workers API to add workers. If this is a sequence inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize`
    return this.#submit('predict', pool, versionLabel, refusal)
  }

  /** A job that asks the handler to describe itself. @throws Failure 404 */
  async decoy(target: Target): Promise<Answer> {
    if (this.#frozen) await this.#frozen.promise
    const refusal = `Model "${target.model}" has no worker to serve describe request. Please use scale workers API to add workers.`
    return this.#submit('describe', this.#pool(target), '', refusal)
  }

  /** Names of the models on one page, and the token of the next. */
  list(limit: number, token: number): { nextPageToken?: string; models: string[] } {
    const names = [...this.#models.keys()].toSorted()
    const size = limit < 0 || limit > MOST_PER_PAGE ? MOST_PER_PAGE : limit
    const first = Math.max(0, token)
    const end = first + size
    const models = names.slice(first, end)
    return end <= names.length ? { nextPageToken: String(end), models } : { models }
  }

  /** `all` as the version: every one. @throws Failure 404 */
  describe({ model, version }: Target): Record<string, unknown>[] {
    if (version !== 'all') return [describe(this.#pool({ model, version }))]
    return [...this.#versions(model).pools.values()].map(describe)
  }

  /**
   * Resolves with the status a synchronous call ends with; the change is made at once.
   * @throws Failure 400, 404, 500
   */
  scale(target: Target, min: number, max: number): Promise<number> {
    if (max < min) {
      const message = 'max_worker cannot be less than min_worker.'
      throw new Failure(400, 'BadRequestException', message)
    }
    const pool = this.#pool(target)
    return pool.scale(min, max).then(status => {
      const missing = pool.workers.filter(({ running }) => running).length < pool.min
      return status === 200 && missing ? 206 : status
    })
  }

  /** @throws Failure 404 */
  setDefault(model: string, version: string): void {
    const versions = this.#versions(model)
    if (!versions.pools.has(version)) {
      const message = `Model version ${version} does not exist for model ${model}`
      throw new Failure(404, 'ModelVersionNotFoundException', message)
    }
    versions.defaultVersion = version
  }

  /** What /ping tells: a default version with fewer workers than its minimum makes it false. */
  healthy(): boolean {
    return [...this.#models.keys()].every(model => {
      const { workers, min } = this.#pool({ model })
      return workers.filter(({ healthy }) => healthy).length >= min
    })
  }

  page(names: ReadonlySet<string>): string {
    return page(this.metrics.samples, this.#options.metricsMode ?? 'prometheus', names)
  }

  /** Workers of a model's default version that have loaded, listed or not. */
  workersReady(model: string): number {
    return this.#pool({ model }).ready()
  }

  deviceOf(name: string): Device {
    if (name === '') return new Device(this.clock)
    const device = this.#devices.get(name)
    if (!device) throw new Error(`A model runs on device '${name}', which is not among the devices`)
    return device
  }

  nextWorkerId(): string {
    return String(this.#nextWorkerId++)
  }

  /** Resident bytes of all worker processes. */
  get workerBytes(): number {
    return this.#machine.bytes
  }

  spawn(bytes: number, onExit: () => void): Process {
    return this.#machine.spawn(bytes, onExit)
  }

  #pools(): Pool[] {
    return [...this.#models.values()].flatMap(({ pools }) => [...pools.values()])
  }

  #versions(model: string): Versions {
    const versions = this.#models.get(model)
    if (!versions) throw new Failure(404, 'ModelNotFoundException', `Model not found: ${model}`)
    return versions
  }

  #pool({ model, version }: Target): Pool {
    const versions = this.#versions(model)
    const pool = versions.pools.get(version ?? versions.defaultVersion)
    if (pool) return pool
    const message = `Model version: ${version} does not exist for model: ${model}`
    throw new Failure(404, 'ModelVersionNotFoundException', message)
  }

  #submit(kind: Job['kind'], pool: Pool, versionLabel: string, refusal: string): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const arrivedMs = this.clock.now()
    const job: Job = {
      kind,
      versionLabel,
      arrivedMs,
      assembledMs: arrivedMs,
      executions: 0,
      answer: answer => {
        const queuedMs = job.assembledMs - job.arrivedMs
        resolve({ ...answer, executions: job.executions, queuedMs })
      },
    }
    if (!pool.offer(job)) {
      job.answer({ status: 503, type: 'ServiceUnavailableException', message: refusal })
    }
    return promise
  }
}
