import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import type { Device } from './device.ts'
import { predictionFailed, workerDied, type Job } from './job.ts'
import type { Metrics } from './metrics.ts'
import type { LoadFailure, Model } from './options.ts'
import { KILLED, type Process } from './process.ts'
import { Interrupted, interruptible } from './queue.ts'

/** Seconds before each next try of a worker that failed. */
const BACK_OFF_SEC = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597]
/** How often a thread whose load reported an error takes a job before the process has exited; that job dies with it. */
const TAKES_JOB_WHILE_EXITING = 0.6
const EXITING_MS = 3
const QUICK_DESCRIBE_MS = 1

export type WorkerState = 'created' | 'started' | 'loaded' | 'error' | 'stopped' | 'scaled_down'

/** What a worker needs from its pool. */
export interface Home {
  readonly model: Model
  readonly clock: Clock
  readonly metrics: Metrics
  /** Where predictions run, in competition with others. */
  readonly device: Device
  /** Where everything else runs, in competition with nothing. */
  readonly free: Device
  readonly serviceDraws: Random
  readonly raceDraws: Random
  readonly handoverMs: number
  /** Resolves when TorchServe is no longer frozen; undefined when it is not. */
  frozen(): Promise<void> | undefined
  spawn(onExit: () => void): Process
  ready(): number
  /** Waits for the next batch and moves it into `hand`. `moved` is called whenever the thread woke. @throws Interrupted */
  assemble(hand: Job[], thread: AbortSignal, moved: () => void): Promise<void>
  /** Decides what becomes of the jobs of a worker that is shut down; `false` when they no longer fit into the queue. */
  salvage(hand: readonly Job[], sent: boolean): boolean
}

/** One of TorchServe's worker threads with, one after another, its Python processes. */
export class Worker {
  readonly id: string
  readonly startedMs: number
  state: WorkerState = 'created'
  /** Of the last process that said it was up; also when that one is long dead. */
  pid = -1
  /** As last collected; kept when the process is replaced. */
  memoryBytes = 0
  process: Process | undefined
  readonly #home: Home
  readonly #onState: (state: WorkerState, status: number) => void
  readonly #ended = new AbortController()
  #thread: AbortController | undefined
  #handingOver = false
  readonly #hand: Job[] = []
  #sent = false
  #moves = 0
  #attempts = 0
  #retries = 0
  #failingSinceMs: number | undefined

  constructor(id: string, home: Home, onState: (state: WorkerState, status: number) => void) {
    this.id = id
    this.#home = home
    this.#onState = onState
    this.startedMs = home.clock.now()
  }

  get healthy(): boolean {
    const since = this.#failingSinceMs
    return (
      since === undefined || this.#home.clock.now() - since < this.#home.model.maxRetrySec * 1_000
    )
  }

  get running(): boolean {
    return this.state === 'created' || this.state === 'started' || this.state === 'loaded'
  }

  /** Changes whenever the thread woke up: with the poll lock, a job or a reply. Awake while something is on its way. */
  get threadText(): string {
    return `${this.id}:${this.#handingOver ? 'R' : 'S'}${this.#moves}`
  }

  async live(): Promise<void> {
    const { clock } = this.#home
    while (!this.#ended.signal.aborted) {
      await this.#attempt()
      if (this.state === 'scaled_down' || !this.healthy) return this.#ended.abort()
      const pauseSec = BACK_OFF_SEC[Math.min(this.#retries++, BACK_OFF_SEC.length - 1)] ?? 0
      await clock.sleep(pauseSec * 1_000, this.#ended.signal)
    }
  }

  /** It has failed and will be tried again. */
  get isBetweenTries(): boolean {
    return this.#attempts > 0 && this.#thread === undefined && !this.#ended.signal.aborted
  }

  /**
   * Kills the worker for good; `false` when its jobs no longer fitted into the queue. One between two tries makes the next all the
   * same, and if that succeeds it serves, listed nowhere.
   */
  shutDown(): boolean {
    if (!this.isBetweenTries) this.#ended.abort()
    this.state = 'scaled_down'
    const saved = this.#home.salvage(this.#hand.splice(0), this.#sent)
    this.#thread?.abort()
    this.process?.exit(KILLED)
    return saved
  }

  /** The end of TorchServe itself: nothing is answered any more. */
  vanish(): void {
    for (const job of this.#hand.splice(0)) job.answer({ status: 0 })
    this.#ended.abort()
    this.shutDown()
  }

  async #attempt(): Promise<void> {
    const thread = new AbortController()
    this.#thread = thread
    const process = this.#home.spawn(() => thread.abort())
    this.process = process
    this.#attempts++
    let status = 500
    try {
      await this.#connect(process, thread.signal)
      status = await this.#load(process, thread.signal)
      for (;;) await this.#serve(process, thread.signal)
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error
    }
    this.#thread = undefined
    if (process.exitCode === KILLED) status = 507
    const hand = this.#hand.splice(0)
    // Jobs of a batch that was still being assembled get no answer at all.
    if (this.#sent) for (const job of hand) job.answer(workerDied(status))
    this.#sent = false
    process.exit(1)
    this.#setState('stopped', status)
  }

  async #connect(process: Process, thread: AbortSignal): Promise<void> {
    const { free, model } = this.#home
    await interruptible(process.run(free, model.startMs), thread)
    this.pid = process.pid
    this.#setState('started', 200)
  }

  /** Returns the status with which jobs are answered if the worker dies later. */
  async #load(process: Process, thread: AbortSignal): Promise<number> {
    const { free, model, raceDraws } = this.#home
    const loaded = async () => {
      await process.run(free, model.loadMs)
      const load = { workerId: this.id, attempt: this.#attempts, loaded: this.#home.ready() }
      const failure = model.loadFails(load)
      if (failure === 'hang') await process.run(free, Infinity)
      return failure
    }
    const failure = await this.#reply(loaded(), model.startupTimeoutSec * 1_000, thread)
    if (failure === undefined) {
      this.#retries = 0
      this.#setState('loaded', 200)
      return 500
    }
    if (failure !== 'cuda') throw this.#exit(process, failure)
    this.#setState('error', 507)
    if (raceDraws() >= TAKES_JOB_WHILE_EXITING) throw this.#exit(process, failure)
    void this.#home.clock.sleep(EXITING_MS).then(() => process.exit(1))
    return 507
  }

  #exit(process: Process, failure: LoadFailure): Interrupted {
    process.exit(failure === 'kill' ? KILLED : failure === 'exit' ? 3 : 1)
    return new Interrupted()
  }

  async #serve(process: Process, thread: AbortSignal): Promise<void> {
    const { clock, device, free, metrics, model } = this.#home
    const hand = this.#hand
    await this.#home.assemble(hand, thread, () => this.#moves++)
    this.#sent = true
    const describes = hand[0]?.kind === 'describe'
    const sentMs = clock.now()
    for (const job of hand) {
      job.assembledMs = sentMs
      job.executions++
    }
    const quick = describes && model.describe === 'quick'
    const workMs = quick ? QUICK_DESCRIBE_MS : this.#serviceMs(hand.length)
    await this.#handOver(thread)
    const run = process.run(quick ? free : device, workMs)
    // A decoy without a reply is waited for without end, as on the real thing.
    await this.#reply(run, describes ? Infinity : model.responseTimeoutSec * 1_000, thread)
    await this.#handOver(thread)
    const frozen = this.#home.frozen()
    if (frozen) await interruptible(frozen, thread)
    this.#moves++
    const failed = describes && model.describe === 'error'
    if (!failed) metrics.predicted(model.name, clock.now() - sentMs - 2 * this.#home.handoverMs)
    this.#sent = false
    for (const job of hand.splice(0)) {
      if (job.kind === 'predict') metrics.answered(model.name, job, clock.now())
      job.answer(failed ? predictionFailed : { status: 200 })
    }
    metrics.workerThread()
  }

  #serviceMs(batchSize: number): number {
    const { model, serviceDraws } = this.#home
    const { serviceMs } = model
    return typeof serviceMs === 'number' ? serviceMs : serviceMs(serviceDraws, batchSize)
  }

  async #handOver(thread: AbortSignal): Promise<void> {
    const { clock, handoverMs } = this.#home
    if (handoverMs <= 0) return
    this.#handingOver = true
    try {
      await interruptible(clock.sleep(handoverMs), thread)
    } finally {
      this.#handingOver = false
    }
  }

  /** What the process replied. @throws Interrupted when it died, or said nothing within the limit */
  async #reply<T>(reply: Promise<T>, limitMs: number, thread: AbortSignal): Promise<T> {
    if (limitMs === Infinity) return interruptible(reply, thread)
    const settled = new AbortController()
    const late = this.#home.clock.sleep(limitMs, settled.signal).then(() => {
      throw new Interrupted()
    })
    late.catch(() => {})
    try {
      return await interruptible(Promise.race([reply, late]), thread)
    } finally {
      settled.abort()
    }
  }

  #setState(state: WorkerState, status: number): void {
    if (this.state === 'scaled_down') return
    const { clock, metrics, model } = this.#home
    this.#onState(state, status)
    this.state = state
    if (state === 'loaded') {
      const name = `W-${this.id}-${model.name}_${model.version}`
      metrics.loaded(name, Math.round(clock.now() - this.startedMs))
      this.#failingSinceMs = undefined
    } else if (state === 'stopped') this.#failingSinceMs ??= clock.now()
  }
}
