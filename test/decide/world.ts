import type { MemoryPolicy, PoolPolicy } from '../../src/config.ts'
import { decide } from '../../src/decide/decide.ts'
import { emptyMemory, type Memory } from '../../src/decide/memory.ts'
import type {
  Action,
  CostDecision,
  CostOutcome,
  Counters,
  Decision,
  Description,
  Drained,
  DrainRequest,
  Outcome,
  PodSeen,
  Reading,
  ResizeAction,
  ResizeDecision,
  ResizeOutcome,
  Worker,
} from '../../src/model.ts'
import { MIB } from './container.ts'

export const policy: PoolPolicy = {
  minWorkers: 1,
  maxWorkers: 8,
  maxWaitMs: undefined,
  waitProbability: 0.02,
  holdMs: 60_000,
  workerMemory: undefined,
  gpuWorkerMemory: undefined,
  gpuMemoryUnknown: 'hold',
  decoys: 'auto',
  scale: true,
}

/** Outside a pod: nothing is seen of its memory, and nothing of it changed. */
export const noPod: PodSeen = {
  state: { state: 'absent', why: 'not in a pod' },
  memory: { state: 'absent', why: 'not in a pod' },
}

const unused = { state: 'absent', why: 'no model runs on a GPU' } as const
export const noGpu = { gpus: unused, host: unused }

export const leftAlone: MemoryPolicy = {
  maxMemory: undefined,
  minMemory: undefined,
  memoryLimit: 'follow',
  inPod: false,
}

/** The pod around TorchServe, as this world moves it and the agent sees it. */
export interface Surroundings {
  /** Before each look, with what the workers hold. */
  sync(nowMs: number, workersBytes: number): void
  seen(atMs: number): PodSeen
  patch(action: ResizeAction, atMs: number): void
  /** What became of the last patch, once. */
  outcome(): ResizeOutcome | undefined
}

interface Simulated {
  id: string
  pid: number
  readyAtMs: number
  fails: boolean
  /** Whether its process is seen to live. */
  alive?: boolean
}

/** A pool as a fluid: no randomness, so that a timeline can be written down beside what it must look like. */
export class World {
  nowMs = 1_000_000
  requests = 0
  pending = 0
  workers: Simulated[] = []
  decisions: Decision[] = []
  memory: Memory = emptyMemory
  /** Changes, as `second:from→to reason`. */
  readonly story: string[] = []
  rate = 0
  loadMs = 2_000
  loadsFail = false
  /** Service time with so many busy workers. */
  serviceMs: (busy: number) => number = () => 100
  policy = policy
  /** Undefined: not in a pod. */
  container: Surroundings | undefined
  memoryPolicy = leftAlone
  usesVisible = true
  /** What one worker holds once it is ready. */
  workerMib = 100
  resizes: ResizeDecision[] = []
  podDemand: number | undefined
  /** What somebody wants, and how far it is. */
  drainRequest: DrainRequest | undefined
  drain: Drained | undefined
  /** Whether its deletion cost is wanted; what was decided of it, and each write as `second:cost`. */
  costed = false
  cost: CostDecision | undefined
  readonly costStory: string[] = []
  costFails: { retryAfterMs: number | undefined } | undefined
  #costOutcome: CostOutcome | undefined
  /** Changes of memory, as `second:request/limit reason`, in MiB. */
  readonly memoryStory: string[] = []
  readable = true
  metricsReadable = true
  shrinks: Outcome['kind'] = 'removed'
  /** What becomes of changes: they are done, refused by TorchServe, never heard of again, or nobody's intention. */
  outcome: 'done' | 'failed' | 'none' | 'advised' = 'done'
  description: Partial<Description> = {}
  #latencyUs = 0
  #queueUs = 0
  #nextId = 9000
  #nextPid = 100
  #outcomes: Outcome[] = []
  readonly #startMs = this.nowMs

  constructor(workers = 1) {
    this.add(workers)
    for (const worker of this.workers) worker.readyAtMs = this.nowMs
  }

  get ready(): number {
    return this.workers.filter(worker => worker.readyAtMs <= this.nowMs).length
  }

  /** A worker may hold all of its memory from the moment it starts to load. */
  get workersBytes(): number {
    return this.workers.length * this.workerMib * MIB
  }

  get second(): number {
    return (this.nowMs - this.#startMs) / 1000
  }

  get lastResize(): ResizeDecision {
    const last = this.resizes.at(-1)
    if (!last) throw new Error('nothing was decided about memory yet')
    return last
  }

  get last(): Decision {
    const last = this.decisions.at(-1)
    if (!last) throw new Error('nothing was decided yet')
    return last
  }

  add(count: number): void {
    for (let i = 0; i < count; i++) {
      const readyAtMs = this.loadsFail ? Infinity : this.nowMs + this.loadMs
      this.workers.push({
        id: String(this.#nextId++),
        pid: this.#nextPid++,
        readyAtMs,
        fails: this.loadsFail,
      })
    }
  }

  /** TorchServe restarts: counters begin anew, and so do the workers. */
  restart(workers: number): void {
    this.requests = 0
    this.pending = 0
    this.#latencyUs = 0
    this.#queueUs = 0
    this.#nextId = 9000
    this.workers = []
    this.add(workers)
  }

  run(seconds: number): this {
    for (let i = 0; i < seconds; i++) this.#second()
    return this
  }

  #second(): void {
    this.nowMs += 1_000
    const busy = Math.min(this.ready, this.pending + (this.rate * this.serviceMs(1)) / 1000)
    const serviceMs = this.serviceMs(Math.max(1, busy))
    const capacity = (this.ready * 1000) / serviceMs
    const served = Math.min(this.pending + this.rate, capacity)
    this.requests += this.rate
    this.pending = this.workers.length === 0 ? 0 : this.pending + this.rate - served
    this.#latencyUs += served * serviceMs * 1000 + this.pending * 1e6
    this.#queueUs += this.pending * 1e6
    // A load that fails is tried again in another process.
    for (const worker of this.workers) if (worker.fails) worker.pid = this.#nextPid++
    this.#decide()
  }

  #decide(): void {
    const outcomes = this.#outcomes.splice(0)
    this.container?.sync(this.nowMs, this.workersBytes)
    const { decisions, deletionCost, drain, memory, podDemand, resize } = decide(
      {
        pool: () => this.policy,
        memory: this.memoryPolicy,
        deletionCost: this.costed,
        acts: this.outcome !== 'advised',
      },
      this.memory,
      {
        atMs: this.nowMs,
        torchserve: this.readable
          ? { state: 'fresh', value: { url: 'http://127.0.0.1:8081' }, atMs: this.nowMs }
          : { state: 'absent', why: 'refused' },
        pools: [{ key: 'm', description: this.#description(), counters: this.#counters() }],
        pod: this.container?.seen(this.nowMs) ?? noPod,
        ...noGpu,
        outcomes,
        resized: this.container?.outcome(),
        costed: this.#costOutcome,
        drain: this.drainRequest,
        notes: [],
      },
      this.nowMs,
    )
    this.memory = memory
    this.podDemand = podDemand
    this.drain = drain
    this.cost = deletionCost
    this.#writeCost(deletionCost)
    this.decisions.push(...decisions)
    this.#resize(resize)
    for (const { action, reason } of decisions) {
      if (!action) continue
      this.story.push(`${this.second}:${action.from}→${action.to} ${reason}`)
      if (this.outcome === 'done') this.#outcomes.push(this.#act(action))
      if (this.outcome === 'advised')
        this.#outcomes.push({ action, atMs: this.nowMs, kind: 'advised' })
      if (this.outcome === 'failed') {
        const ending = { kind: 'failed', code: 'TORCHSERVE_FAILED', message: 'no' } as const
        this.#outcomes.push({ action, atMs: this.nowMs, ...ending })
      }
    }
  }

  #writeCost(decision: CostDecision | undefined): void {
    this.#costOutcome = undefined
    if (!decision?.write || decision.cost === null) return
    this.costStory.push(`${this.second}:${decision.cost}`)
    const done = { cost: decision.cost, atMs: this.nowMs }
    const failed = { kind: 'failed', code: 'KUBERNETES_BUSY', message: 'no' } as const
    this.#costOutcome = this.costFails
      ? { ...done, ...failed, ...this.costFails }
      : { ...done, kind: 'written' }
  }

  #resize(decision: ResizeDecision | undefined): void {
    if (!decision) return
    this.resizes.push(decision)
    if (!decision.action || !this.container) return
    const { requestBytes, limitBytes } = decision.action.to
    const inMib = (bytes: number | undefined) => (bytes === undefined ? '-' : bytes / MIB)
    this.memoryStory.push(
      `${this.second}:${inMib(requestBytes)}/${inMib(limitBytes)} ${decision.reason}`,
    )
    this.container.patch(decision.action, this.nowMs)
  }

  #act(action: Action): Outcome {
    const settled = { action, atMs: this.nowMs }
    if (action.kind === 'shrink' && this.shrinks !== 'removed') {
      return { ...settled, kind: 'abandoned', why: 'busy', tries: 1, tookMs: 10, delayedMs: 0 }
    }
    if (action.kind === 'repair') this.workers = []
    if (this.workers.length > action.to) this.workers.length = action.to
    else this.add(action.to - this.workers.length)
    if (action.kind !== 'shrink') return { ...settled, kind: 'commanded' }
    return { ...settled, kind: 'removed', sureness: 'retired', tries: 1, tookMs: 10, delayedMs: 0 }
  }

  #description(): Reading<Description> {
    const workers: Worker[] = this.workers.map(({ id, pid, readyAtMs, alive }) => ({
      id,
      pid,
      ready: readyAtMs <= this.nowMs,
      alive,
      gpu: false,
      use: this.usesVisible ? { bytes: this.workerMib * MIB, cpuMs: 0 } : undefined,
      memoryBytes: undefined,
    }))
    const value: Description = {
      id: { model: 'm', version: '1.0' },
      isDefault: true,
      minWorkers: workers.length,
      maxWorkers: workers.length,
      batchSize: 1,
      maxBatchDelayMs: 100,
      responseTimeoutMs: 120_000,
      startupTimeoutMs: 120_000,
      maxRetryMs: 300_000,
      workers,
      pending: Math.floor(this.pending),
      queueFree: 100 - Math.floor(this.pending),
      refusal: undefined,
      ...this.description,
    }
    if (this.readable) return { state: 'fresh', value, atMs: this.nowMs }
    return { state: 'stale', value, atMs: this.nowMs - 5_000, why: 'TorchServe does not answer' }
  }

  #counters(): Reading<Counters> {
    if (!this.readable || !this.metricsReadable)
      return { state: 'absent', why: 'TorchServe does not answer' }
    const value: Counters = {
      requests: Math.round(this.requests),
      latencyUs: this.#latencyUs,
      queueUs: this.#queueUs,
      predictionMs: this.#latencyUs > this.#queueUs ? this.serviceMs(this.ready) : undefined,
    }
    return { state: 'fresh', value, atMs: this.nowMs }
  }
}
