/** The agent's eyes and its decision over the emulated TorchServe, once a second of a virtual clock; requests arrive at random. */
import type { PoolPolicy } from '../../src/config.ts'
import { decide } from '../../src/decide/decide.ts'
import { emptyMemory, type Memory } from '../../src/decide/memory.ts'
import type { Action, Decision, Observation, Outcome, PoolKey } from '../../src/model.ts'
import { createTorchServeObserver, type TorchServeObserver } from '../../src/observe/torchserve.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { exponential, random, type Random } from '../../src/simulate/random.ts'
import { Failure } from '../../src/simulate/torchserve/job.ts'
import { TorchServeCore, type Target } from '../../src/simulate/torchserve/core.ts'
import type { TorchServeOptions } from '../../src/simulate/torchserve/options.ts'
import { leftAlone, noGpu, noPod, policy } from '../decide/world.ts'

/** An agent without the wire, beside a TorchServe whose models are not scaled by anybody else. */
export class Agent {
  readonly clock = virtualClock()
  readonly core: TorchServeCore
  /** Requests per second, by whom they are for. */
  readonly rates = new Map<Target, number>()
  /** Changes, as `second:from→to reason`. */
  readonly story: string[] = []
  podDemand: number | undefined
  readonly #policy: PoolPolicy
  readonly #draw: Random
  #observer: TorchServeObserver
  #memory: Memory = emptyMemory
  #decisions: readonly Decision[] = []
  #outcomes: Outcome[] = []

  constructor(options: TorchServeOptions, limits: Partial<PoolPolicy> = {}) {
    this.core = new TorchServeCore(options, this.clock)
    this.#policy = { ...policy, ...limits }
    this.#draw = random(options.seed ?? 1, 'arrivals')
    this.#observer = this.#newObserver()
  }

  get second(): number {
    return this.clock.now() / 1_000
  }

  last(key: PoolKey): Decision {
    const last = this.#decisions.find(decision => decision.key === key)
    if (!last) throw new Error(`nothing was decided of ${key}`)
    return last
  }

  /** The agent knows nothing any more; TorchServe goes on. */
  restart(): void {
    this.#memory = emptyMemory
    this.#outcomes = []
    this.#observer = this.#newObserver()
  }

  async run(seconds: number): Promise<this> {
    for (let i = 0; i < seconds; i++) {
      for (const [target, perSecond] of this.rates) void this.#arrive(target, perSecond)
      await this.clock.advance(1_000)
      await this.#tick()
    }
    return this
  }

  /** A second of arrivals. */
  async #arrive(target: Target, perSecond: number): Promise<void> {
    const gapMs = () => (exponential(this.#draw) * 1_000) / perSecond
    const startMs = this.clock.now()
    for (let atMs = startMs + gapMs(); atMs < startMs + 1_000; atMs += gapMs()) {
      await this.clock.sleep(atMs - this.clock.now())
      void this.core.infer(target)
    }
  }

  async #tick(): Promise<void> {
    const looked = await this.#observer.observe(this.#memory.urgent)
    const nowMs = this.clock.now()
    const seen: Observation = {
      ...looked,
      pod: noPod,
      ...noGpu,
      outcomes: this.#outcomes.splice(0),
      resized: undefined,
    }
    const policies = {
      pool: () => this.#policy,
      memory: leftAlone,
      deletionCost: false,
      acts: true,
    }
    const decided = decide(policies, this.#memory, seen, nowMs)
    this.#memory = decided.memory
    this.#decisions = decided.decisions
    this.podDemand = decided.podDemand
    for (const { action, reason } of decided.decisions) {
      if (!action) continue
      this.story.push(`${this.second}:${action.from}→${action.to} ${reason}`)
      this.#act(action)
    }
  }

  #act(action: Action): void {
    try {
      void this.core.scale(action.pool, action.to, action.to)
    } catch (error) {
      // The worker is gone all the same; the job that it had no longer fits into the queue.
      if (!(error instanceof Failure)) throw error
    }
    const settled = { action, atMs: this.clock.now() }
    this.#outcomes.push(
      action.kind === 'shrink'
        ? { ...settled, kind: 'removed', sureness: 'retired', tries: 1, tookMs: 10, delayedMs: 0 }
        : { ...settled, kind: 'commanded' },
    )
  }

  #newObserver(): TorchServeObserver {
    const { clock, core } = this
    const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
    const torchserve = {
      url: 'http://torchserve',
      ping: async () => (core.healthy() ? ('healthy' as const) : ('unhealthy' as const)),
      metrics: async (names: readonly string[]) => core.page(new Set(names)),
      listModels: async () => core.list(100, 0).models,
      describe: async (model: string) => json(core.describe({ model, version: 'all' })),
      describeDefault: async (model: string) => json(core.describe({ model })),
    }
    return createTorchServeObserver({ torchserve, clock, timeoutMs: 1_000 })
  }
}
