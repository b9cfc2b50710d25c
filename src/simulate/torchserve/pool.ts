import type { Clock } from '../../clock.ts'
import { random, type Random } from '../random.ts'
import type { Device } from './device.ts'
import { Failure, workerDied, type Job } from './job.ts'
import type { Metrics } from './metrics.ts'
import type { Model } from './options.ts'
import type { Process } from './process.ts'
import { JobQueue, PollLock } from './queue.ts'
import { Worker, type Home } from './worker.ts'

/** How often a job that was executing when its worker was scaled down is answered 500; else it runs again elsewhere. */
const DIES_WITH_WORKER = 0.4
/** How often all jobs of a batch under assembly are lost; else only one of them, and the rest goes back. */
const WHOLE_BATCH_LOST = 0.6

/** What a pool needs from its TorchServe. */
export interface Server {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly seed: number
  readonly handoverMs: number
  readonly free: Device
  deviceOf(name: string): Device
  frozen(): Promise<void> | undefined
  nextWorkerId(): string
  spawn(bytes: number, onExit: () => void): Process
}

/** One model in one version: its queue and its workers. */
export class Pool implements Home {
  readonly model: Model
  readonly queue: JobQueue
  readonly clock: Clock
  readonly metrics: Metrics
  readonly device: Device
  readonly free: Device
  readonly serviceDraws: Random
  readonly raceDraws: Random
  readonly handoverMs: number
  /** As last asked for. */
  min = 0
  max = 0
  readonly #server: Server
  readonly #lock = new PollLock()
  /** The list that TorchServe keeps; a pool scaled to a minimum of zero has none. */
  #listed: Worker[] | undefined
  /** The listed ones and those it has lost sight of, which serve on. */
  readonly #all = new Map<string, Worker>()

  constructor(model: Model, server: Server) {
    this.model = model
    this.#server = server
    this.clock = server.clock
    this.metrics = server.metrics
    this.device = server.deviceOf(model.device)
    this.free = server.free
    this.handoverMs = server.handoverMs
    this.queue = new JobQueue(model.queueSize, server.clock)
    const stream = `${model.name}:${model.version}`
    this.serviceDraws = random(server.seed, `service ${stream}`)
    this.raceDraws = random(server.seed, `races ${stream}`)
  }

  get workers(): readonly Worker[] {
    return this.#listed ?? []
  }

  /** All workers, listed or not. */
  get all(): readonly Worker[] {
    return [...this.#all.values()]
  }

  frozen(): Promise<void> | undefined {
    return this.#server.frozen()
  }

  spawn(onExit: () => void): Process {
    return this.#server.spawn(this.model.bytes, onExit)
  }

  ready(): number {
    return [...this.#all.values()].filter(({ state }) => state === 'loaded').length
  }

  /** Puts a job into the queue. `false`: it is full, or no worker is listed. */
  offer(job: Job): boolean {
    return this.workers.length > 0 && this.queue.offer(job)
  }

  /**
   * What TorchServe does on a scale call: it starts workers up to the minimum and kills the last ones down to the maximum, and
   * remembers both whatever comes of it. Resolves with 200 once all new workers are ready, else with the first failure's status.
   * @throws Failure at once: workers were killed all the same
   */
  scale(min: number, max: number): Promise<number> {
    this.min = min
    this.max = max
    const listed = this.#listed ?? []
    this.#listed = min === 0 ? undefined : listed
    if (listed.length < min) return this.#add(listed, min - listed.length)
    for (let last = listed.length - 1; last >= max; last--) {
      const worker = listed.pop()
      if (!worker) {
        const message = `Index ${last} out of bounds for length 0`
        throw new Failure(500, 'IndexOutOfBoundsException', message)
      }
      if (!worker.isBetweenTries) this.#all.delete(worker.id)
      if (!worker.shutDown()) throw new Failure(500, 'IllegalStateException', 'Deque full')
    }
    return Promise.resolve(200)
  }

  async assemble(hand: Job[], thread: AbortSignal, moved: () => void): Promise<void> {
    if (await this.#lock.acquire(thread)) moved()
    try {
      await this.queue.take(hand, Infinity, thread)
      moved()
      if (hand[0]?.kind !== 'describe') await this.#fill(hand, thread, moved)
    } finally {
      this.#lock.release()
    }
  }

  salvage(hand: readonly Job[], sent: boolean): boolean {
    const alone = sent || this.model.batchSize === 1
    const race = hand.length > 0 ? this.raceDraws() : 0
    if (alone && race < DIES_WITH_WORKER) {
      for (const job of hand) job.answer(workerDied(500))
      return true
    }
    if (!alone && race < WHOLE_BATCH_LOST) return true
    const back = (alone ? hand : hand.slice(1)).filter(job => !this.queue.addFirst(job))
    for (const job of back) job.answer(workerDied(500))
    return back.length === 0
  }

  /** The end of TorchServe: nothing is answered any more. */
  vanish(): void {
    for (const worker of this.#all.values()) worker.vanish()
    for (const job of this.queue.clear()) job.answer({ status: 0 })
  }

  /** More jobs for a batch, until it is full or its delay is over. A decoy travels alone: it goes back, and the batch leaves. */
  async #fill(hand: Job[], thread: AbortSignal, moved: () => void): Promise<void> {
    const untilMs = this.clock.now() + this.model.maxBatchDelayMs
    while (hand.length < this.model.batchSize) {
      const leftMs = untilMs - this.clock.now()
      if (leftMs <= 0 || !(await this.queue.take(hand, leftMs, thread))) return
      moved()
      if (hand.at(-1)?.kind !== 'describe') continue
      const decoy = hand.pop()
      if (decoy) this.queue.addFirst(decoy)
      return
    }
  }

  #add(listed: Worker[], count: number): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    let missing = count
    for (let i = 0; i < count; i++) {
      const worker = new Worker(this.#server.nextWorkerId(), this, (state, status) => {
        if (state === 'loaded' && --missing === 0) resolve(200)
        if (state === 'error' || state === 'stopped') resolve(status)
      })
      listed.push(worker)
      this.#all.set(worker.id, worker)
      void worker.live()
    }
    return promise
  }
}
