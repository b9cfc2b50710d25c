import type { Clock } from '../../clock.ts'
import type { Job } from './job.ts'

/** A Java thread was interrupted while it waited. */
export class Interrupted extends Error {}

/** Waits for `event` unless the thread is interrupted first. @throws Interrupted */
export async function interruptible<T>(event: Promise<T>, thread: AbortSignal): Promise<T> {
  if (thread.aborted) throw new Interrupted()
  const { promise: interrupt, reject } = Promise.withResolvers<never>()
  const stop = () => reject(new Interrupted())
  thread.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([event, interrupt])
  } finally {
    thread.removeEventListener('abort', stop)
  }
}

/** A model's jobs. Only the thread that holds the poll lock waits on it. */
export class JobQueue {
  readonly capacity: number
  readonly #clock: Clock
  readonly #jobs: Job[] = []
  #arrived: (() => void) | undefined

  constructor(capacity: number, clock: Clock) {
    this.capacity = capacity
    this.#clock = clock
  }

  get size(): number {
    return this.#jobs.length
  }

  /** `false`: full. */
  offer(job: Job): boolean {
    if (this.#jobs.length >= this.capacity) return false
    this.#jobs.push(job)
    this.#arrived?.()
    return true
  }

  /** `false`: full. */
  addFirst(job: Job): boolean {
    if (this.#jobs.length >= this.capacity) return false
    this.#jobs.unshift(job)
    this.#arrived?.()
    return true
  }

  /** Empties it. */
  clear(): Job[] {
    return this.#jobs.splice(0)
  }

  /** Moves the first job into `hand`; `false` when none came within `waitMs`. @throws Interrupted */
  async take(hand: Job[], waitMs: number, thread: AbortSignal): Promise<boolean> {
    const untilMs = this.#clock.now() + waitMs
    for (;;) {
      if (thread.aborted) throw new Interrupted()
      const job = this.#jobs.shift()
      if (job) return hand.push(job) > 0
      const leftMs = untilMs - this.#clock.now()
      if (leftMs <= 0) return false
      await this.#arrival(leftMs, thread)
    }
  }

  async #arrival(waitMs: number, thread: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const settled = new AbortController()
    this.#arrived = resolve
    if (waitMs < Infinity) void this.#clock.sleep(waitMs, settled.signal).then(resolve)
    try {
      await interruptible(promise, thread)
    } finally {
      this.#arrived = undefined
      settled.abort()
    }
  }
}

/** The lock that a model's idle threads stand in line for, the longest idle first. */
export class PollLock {
  #held = false
  readonly #line: (() => void)[] = []

  /** Returns whether it had to wait. @throws Interrupted */
  async acquire(thread: AbortSignal): Promise<boolean> {
    if (thread.aborted) throw new Interrupted()
    if (!this.#held) {
      this.#held = true
      return false
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#line.push(resolve)
    try {
      await interruptible(promise, thread)
    } catch (error) {
      const place = this.#line.indexOf(resolve)
      if (place >= 0) this.#line.splice(place, 1)
      else this.release()
      throw error
    }
    return true
  }

  release(): void {
    const next = this.#line.shift()
    if (next) next()
    else this.#held = false
  }
}
