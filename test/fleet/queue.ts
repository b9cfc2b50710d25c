import type { Random } from '../../src/simulate/random.ts'

/** A worker of TorchServe; times are milliseconds. */
interface Worker {
  id: string
  readyAtMs: number
  freeAtMs: number
}

interface Job {
  arrivedMs: number
}

interface Served {
  endMs: number
  waitMs: number
  serviceMs: number
}

/** TorchServe's queue of one model and the workers that pull from it: first come, first served, refused when it is full. */
export class Queue {
  readonly workers: Worker[] = []
  requests = 0
  refused = 0
  latencyUs = 0
  queueUs = 0
  /** Time in the handler of the last job that was answered. */
  predictionMs: number | undefined
  readonly #capacity: number
  readonly #draw: Random
  readonly #serviceMs: number
  readonly #jobs: Job[] = []
  #inService: Served[] = []
  #nextId = 9_000

  constructor(capacity: number, serviceMs: number, draw: Random) {
    this.#capacity = capacity
    this.#serviceMs = serviceMs
    this.#draw = draw
  }

  get waiting(): number {
    return this.#jobs.length
  }

  get free(): number {
    return this.#capacity - this.#jobs.length
  }

  get idle(): boolean {
    return this.#jobs.length === 0 && this.#inService.length === 0
  }

  ready(nowMs: number): number {
    return this.workers.filter(({ readyAtMs }) => readyAtMs <= nowMs).length
  }

  /** Brings the pool to so many workers; those that go are the last, and finish what they have. */
  scale(to: number, readyAtMs: number): void {
    while (this.workers.length < to) {
      this.workers.push({ id: String(this.#nextId++), readyAtMs, freeAtMs: readyAtMs })
    }
    this.workers.length = to
  }

  /** Lets time pass with its arrivals, in order. Returns how long each job that was answered had waited. */
  pass(toMs: number, arrivals: readonly number[]): number[] {
    for (const arrivedMs of arrivals) {
      this.#assign(arrivedMs)
      this.requests += 1
      if (this.#jobs.length >= this.#capacity) this.refused += 1
      else this.#jobs.push({ arrivedMs })
    }
    this.#assign(toMs)
    return this.#finish(toMs)
  }

  #assign(toMs: number): void {
    for (;;) {
      const job = this.#jobs[0]
      const next = this.#next()
      if (!job || !next) return
      const startMs = Math.max(next.freeAtMs, job.arrivedMs)
      if (startMs > toMs) return
      this.#jobs.shift()
      // About as even as inference is: half to one and a half of the mean.
      const serviceMs = this.#serviceMs * (0.5 + this.#draw())
      next.freeAtMs = startMs + serviceMs
      this.#inService.push({
        endMs: next.freeAtMs,
        waitMs: startMs - job.arrivedMs,
        serviceMs,
      })
    }
  }

  #next(): Worker | undefined {
    let next = this.workers[0]
    for (const worker of this.workers) if (next && worker.freeAtMs < next.freeAtMs) next = worker
    return next
  }

  /** TorchServe counts a job's times when it is answered. */
  #finish(toMs: number): number[] {
    const done = this.#inService
      .filter(({ endMs }) => endMs <= toMs)
      .toSorted((a, b) => a.endMs - b.endMs)
    this.#inService = this.#inService.filter(({ endMs }) => endMs > toMs)
    for (const { serviceMs, waitMs } of done) {
      this.latencyUs += (waitMs + serviceMs) * 1000
      this.queueUs += waitMs * 1000
      this.predictionMs = serviceMs
    }
    return done.map(({ waitMs }) => waitMs)
  }
}
