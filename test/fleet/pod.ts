/** One pod of the fleet: an emulated TorchServe and the decision of its agent, once a second. */
import { decide } from '../../src/decide/decide.ts'
import { emptyMemory, type Memory } from '../../src/decide/memory.ts'
import type { Action, Decision, Description, Observation, Outcome } from '../../src/model.ts'
import type { Random } from '../../src/simulate/random.ts'
import { leftAlone, noGpu, noPod, policy as defaults } from '../decide/world.ts'
import { Queue } from './queue.ts'

export interface PodOptions {
  /** The most workers that it can have. */
  maxWorkers: number
  serviceMs: number
  queueSize: number
  workerLoadMs: number
}

/** What an agent tells at a scrape; undefined: that it does not tell. */
export interface Told {
  podDemand: number | undefined
  /** What decisions are made from; undefined before the first. */
  inputs: Decision['inputs'] | undefined
  /** Workers at work, on average since the scrape before. */
  busy: number
  ready: number
  waiting: number
}

export class Pod {
  readonly id: number
  readonly queue: Queue
  /** Its model is loaded, and it gets requests. */
  readonly readyAtMs: number
  /** From when on it gets none and is not scaled by; undefined: it stays. */
  drainingSinceMs: number | undefined
  podDemand: number | undefined
  readonly #options: PodOptions
  #memory: Memory = emptyMemory
  #decision: Decision | undefined
  #outcomes: Outcome[] = []
  #before = { atMs: 0, serviceUs: 0 }

  constructor(id: number, readyAtMs: number, options: PodOptions, draw: Random) {
    this.id = id
    this.readyAtMs = readyAtMs
    this.#options = options
    this.queue = new Queue(options.queueSize, options.serviceMs, draw)
    this.queue.scale(1, readyAtMs)
    this.#before.atMs = readyAtMs
  }

  serves(nowMs: number): boolean {
    return nowMs >= this.readyAtMs && this.drainingSinceMs === undefined
  }

  /** A second of the agent. */
  tick(nowMs: number): void {
    const policy = { ...defaults, maxWorkers: this.#options.maxWorkers }
    const seen = this.#observe(nowMs)
    const policies = { pool: () => policy, memory: leftAlone, deletionCost: false, acts: true }
    const decided = decide(policies, this.#memory, seen, nowMs)
    this.#memory = decided.memory
    this.podDemand = decided.podDemand
    this.#decision = decided.decisions[0]
    for (const { action } of decided.decisions) if (action) this.#act(action, nowMs)
  }

  tell(nowMs: number): Told {
    const { latencyUs, queueUs } = this.queue
    const serviceUs = latencyUs - queueUs
    const spanUs = (nowMs - this.#before.atMs) * 1000
    const busy = spanUs > 0 ? (serviceUs - this.#before.serviceUs) / spanUs : 0
    this.#before = { atMs: nowMs, serviceUs }
    return {
      podDemand: this.podDemand,
      inputs: this.#decision?.inputs,
      busy,
      ready: this.queue.ready(nowMs),
      waiting: this.queue.waiting,
    }
  }

  /** New workers load one after another of what was asked; those that go were idle. */
  #act(action: Action, nowMs: number): void {
    this.queue.scale(action.to, nowMs + this.#options.workerLoadMs)
    const settled = { action, atMs: nowMs }
    this.#outcomes.push(
      action.kind === 'shrink'
        ? { ...settled, kind: 'removed', sureness: 'retired', tries: 1, tookMs: 10, delayedMs: 0 }
        : { ...settled, kind: 'commanded' },
    )
  }

  #observe(nowMs: number): Observation {
    const { latencyUs, predictionMs, queueUs, requests } = this.queue
    const counters = { requests, latencyUs, queueUs, predictionMs }
    return {
      atMs: nowMs,
      torchserve: { state: 'fresh', value: { url: 'http://127.0.0.1:8081' }, atMs: nowMs },
      pools: [
        {
          key: 'm',
          description: { state: 'fresh', value: this.#describe(nowMs), atMs: nowMs },
          counters: { state: 'fresh', value: counters, atMs: nowMs },
        },
      ],
      pod: noPod,
      ...noGpu,
      outcomes: this.#outcomes.splice(0),
      resized: undefined,
      notes: [],
    }
  }

  #describe(nowMs: number): Description {
    const { free, waiting, workers } = this.queue
    return {
      id: { model: 'm', version: '1.0' },
      isDefault: true,
      minWorkers: workers.length,
      maxWorkers: workers.length,
      batchSize: 1,
      maxBatchDelayMs: 100,
      responseTimeoutMs: 120_000,
      startupTimeoutMs: 120_000,
      maxRetryMs: 300_000,
      workers: workers.map(({ id, readyAtMs }) => ({
        id,
        pid: Number(id),
        ready: readyAtMs <= nowMs,
        alive: undefined,
        gpu: false,
        use: undefined,
        memoryBytes: undefined,
      })),
      pending: waiting,
      queueFree: free,
      refusal: undefined,
    }
  }
}
