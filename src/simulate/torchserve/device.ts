import type { Clock } from '../../clock.ts'

/**
 * What workers compete for, as the factor by which `busy` of them slow each other down.
 * `gpu`: up to `saturation` run side by side, more share it. `cpu`: the universal scalability law; with kappa > 0 throughput
 * falls as workers rise. `lock`: one at a time, however many there are.
 */
export type Contention =
  | { kind: 'none' }
  | { kind: 'gpu'; saturation: number }
  | { kind: 'cpu'; sigma: number; kappa: number }
  | { kind: 'lock' }

function slowdown(contention: Contention, busy: number): number {
  switch (contention.kind) {
    case 'none':
      return 1
    case 'gpu':
      return Math.max(1, busy / contention.saturation)
    case 'cpu':
      return 1 + contention.sigma * (busy - 1) + contention.kappa * busy * (busy - 1)
    case 'lock':
      return Math.max(1, busy)
  }
}

/** A piece of work under way. */
export interface Task {
  /** Resolves when the work is done; never, when it was cancelled. */
  readonly done: Promise<void>
  pause(): void
  resume(): void
  cancel(): void
}

interface Running {
  leftMs: number
  finish: () => void
}

/** Runs tasks side by side; each goes slower the more there are, also while under way. */
export class Device {
  readonly #clock: Clock
  readonly #contention: Contention
  readonly #running = new Set<Running>()
  #plannedMs = 0
  #plan = new AbortController()

  constructor(clock: Clock, contention: Contention = { kind: 'none' }) {
    this.#clock = clock
    this.#contention = contention
  }

  get busy(): number {
    return this.#running.size
  }

  /** @param workMs how long the work takes when nothing else runs */
  start(workMs: number, paused = false): Task {
    const { promise: done, resolve: finish } = Promise.withResolvers<void>()
    const running = { leftMs: workMs, finish }
    const change = (how: () => void) => {
      this.#progress()
      how()
      this.#replan()
    }
    const resume = () => change(() => this.#running.add(running))
    const stop = () => change(() => this.#running.delete(running))
    if (!paused) resume()
    return { done, pause: stop, resume, cancel: stop }
  }

  #progress(): void {
    const nowMs = this.#clock.now()
    const workedMs = (nowMs - this.#plannedMs) / slowdown(this.#contention, this.#running.size)
    for (const running of this.#running) running.leftMs -= workedMs
    this.#plannedMs = nowMs
  }

  #replan(): void {
    this.#plan.abort()
    if (this.#running.size === 0) return
    const plan = new AbortController()
    this.#plan = plan
    const least = Math.min(...[...this.#running].map(({ leftMs }) => leftMs))
    if (least === Infinity) return
    const waitMs = Math.max(0, least * slowdown(this.#contention, this.#running.size))
    void this.#finishAfter(waitMs, plan.signal)
  }

  async #finishAfter(waitMs: number, plan: AbortSignal): Promise<void> {
    await this.#clock.sleep(waitMs, plan)
    if (plan.aborted) return
    this.#progress()
    for (const running of this.#running) {
      // Times since the epoch are only good to a quarter of a microsecond.
      if (running.leftMs > 1e-3) continue
      this.#running.delete(running)
      running.finish()
    }
    this.#replan()
  }
}
