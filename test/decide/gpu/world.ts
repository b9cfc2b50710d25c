/** Pools on GPUs as a fluid: workers take memory when they load and more with their first requests; readings come late. */
import { decide } from '../../../src/decide/decide.ts'
import { emptyMemory } from '../../../src/decide/memory.ts'
import type {
  Action,
  Decision,
  Description,
  GpuSeen,
  HostSeen,
  Observation,
  Outcome,
  PoolSeen,
  Reading,
} from '../../../src/model.ts'
import { leftAlone, noPod, policy } from '../world.ts'

export const MIB = 1_048_576
const QUEUE = 100

export interface Model {
  key: string
  workers: number
  /** What one worker takes once it has served; before that, `loadShare` of it. */
  needMib: number
  loadShare?: number
  rate?: number
  serviceMs?: number
  loadMs?: number
  /** Its requests take so much longer, for a while after a worker is ready; the GPU does nothing more for that. */
  warmUp?: { factor: number; ms: number }
  /** What TorchServe says that its workers run on; older ones do not. */
  device?: Description['device']
  policy?: Partial<typeof policy>
}

interface Simulated {
  id: string
  pid: number
  gpuId: number
  startedMs: number
  readyMs: number
  served: boolean
}

interface Pool extends Required<Omit<Model, 'workers'>> {
  workers: Simulated[]
  requests: number
  pending: number
  latencyUs: number
  queueUs: number
  /** Workers that were busy in the last second, and how long a request took. */
  busy: number
  lastServiceMs: number
}

/** A whole GPU or one slice, of which the agent is told `told`. */
export interface Device {
  totalMib: number
  reservedMib?: number
  told?: Partial<GpuSeen>
  /** Other slices of the same GPU, which nothing runs on that is simulated. */
  beside?: readonly { totalMib: number; usedMib: number }[]
  /** Used by somebody else. */
  strangersMib?: number
  /** So many busy workers leave it no time; with more, all are slower. Absent: it is never full. */
  fullWith?: number
  /** Its activity is told. */
  tellsActivity?: boolean
}

export class GpuWorld {
  nowMs = 1_000_000
  readonly startMs = this.nowMs
  memory = emptyMemory
  readonly decisions: Decision[] = []
  podDemand: number | undefined
  readonly pools: Pool[]
  readonly devices: readonly Device[]
  /** The most that was ever used of each device, and loads that found no room. */
  outOfMemory = 0
  readable = true
  /** Descriptions tell which GPU a worker is on. */
  tellsGpuIds = true
  host: Reading<HostSeen> = { state: 'absent', why: 'not asked' }
  /** How long numbers stay as they were read. */
  readEveryMs = 5_000
  readonly #outcomes: Outcome[] = []
  #described: { atMs: number; pools: PoolSeen[] } | undefined
  #read: GpuSeen[] = []
  #readMs = -Infinity
  #nextId = 9_000
  #nextPid = 100
  #nextGpu: number

  constructor(devices: readonly Device[], models: readonly Model[]) {
    this.devices = devices
    this.#nextGpu = devices.length > 1 ? 1 : 0
    this.pools = models.map(model => ({
      loadShare: 0.8,
      rate: 0,
      serviceMs: 100,
      loadMs: 2_000,
      policy: {},
      device: undefined,
      warmUp: { factor: 1, ms: 0 },
      ...model,
      workers: [],
      requests: 0,
      pending: 0,
      latencyUs: 0,
      queueUs: 0,
      busy: 0,
      lastServiceMs: 0,
    }))
    for (const [at, { workers }] of models.entries()) {
      const pool = this.pools[at]
      if (pool) this.#add(pool, workers)
      for (const worker of pool?.workers ?? []) worker.readyMs = this.nowMs - 600_000
    }
  }

  pool(key: string): Pool {
    const found = this.pools.find(pool => pool.key === key)
    if (!found) throw new Error(`no pool ${key}`)
    return found
  }

  last(key: string): Decision {
    const found = this.decisions.findLast(decision => decision.key === key)
    if (!found) throw new Error('nothing was decided yet')
    return found
  }

  usedMib(gpuId: number): number {
    const there = this.pools.flatMap(pool =>
      pool.workers
        .filter(worker => worker.gpuId === gpuId)
        .map(worker => pool.needMib * (worker.served ? 1 : pool.loadShare)),
    )
    return there.reduce((sum, mib) => sum + mib, this.devices[gpuId]?.strangersMib ?? 0)
  }

  /** Somebody else starts workers; TorchServe is described again when that is due. */
  addUnseen(key: string, count: number): void {
    this.#add(this.pool(key), count)
  }

  run(seconds: number): this {
    for (let i = 0; i < seconds; i++) this.#second()
    return this
  }

  #add(pool: Pool, count: number): void {
    for (let i = 0; i < count; i++) {
      pool.workers.push({
        id: String(this.#nextId++),
        pid: this.#nextPid++,
        gpuId: this.#nextGpu,
        startedMs: this.nowMs,
        readyMs: this.nowMs + pool.loadMs,
        served: false,
      })
      this.#nextGpu = (this.#nextGpu + 1) % this.devices.length
    }
  }

  #second(): void {
    this.nowMs += 1_000
    for (const pool of this.pools) this.#serve(pool)
    for (const [gpuId, { reservedMib = 0, totalMib }] of this.devices.entries()) {
      if (this.usedMib(gpuId) <= totalMib - reservedMib) continue
      this.outOfMemory++
      // The worker that was loading fails, and is tried again in another process.
      for (const { workers } of this.pools)
        for (const worker of workers)
          if (worker.gpuId === gpuId && worker.readyMs > this.nowMs - 1_000) {
            worker.pid = this.#nextPid++
            worker.readyMs = Infinity
          }
    }
    this.#decide()
  }

  #serve(pool: Pool): void {
    const ready = pool.workers.filter(worker => worker.readyMs <= this.nowMs)
    const serviceMs = this.#serviceMs(pool, ready)
    // Clients that wait for answers: never more than half the queue, so that nothing is rejected.
    const capacity = (ready.length * 1_000) / serviceMs
    const arrivals = Math.min(pool.rate, capacity + Math.max(0, QUEUE / 2 - pool.pending))
    const served = Math.min(pool.pending + arrivals, capacity)
    pool.requests += arrivals
    pool.pending += arrivals - served
    pool.latencyUs += served * serviceMs * 1_000 + pool.pending * 1e6
    pool.busy = (served * serviceMs) / 1_000
    pool.lastServiceMs = serviceMs
    pool.queueUs += pool.pending * 1e6
    if (served >= ready.length) for (const worker of ready) worker.served = true
  }

  #serviceMs({ serviceMs, warmUp }: Pool, ready: readonly Simulated[]): number {
    const full = Math.max(1, ready.length / (this.devices[0]?.fullWith ?? Infinity))
    const isWarm = ({ readyMs }: Simulated) => this.nowMs - readyMs >= warmUp.ms
    const speeds = ready.map(worker => (isWarm(worker) ? 1 : 1 / warmUp.factor))
    const speed = speeds.reduce((sum, one) => sum + one, 0) / ready.length
    return (serviceMs * full) / (speed || 1)
  }

  #decide(): void {
    const seen = this.#observe()
    const policyOf = (model: string) => ({ ...policy, maxWorkers: 100, ...this.pool(model).policy })
    const policies = { pool: policyOf, memory: leftAlone, deletionCost: false, acts: true }
    const { decisions, memory, podDemand } = decide(policies, this.memory, seen, this.nowMs)
    this.memory = memory
    this.podDemand = podDemand
    this.decisions.push(...decisions)
    for (const { action } of decisions) if (action) this.#outcomes.push(this.#act(action))
  }

  #act(action: Action): Outcome {
    const pool = this.pool(action.key)
    if (pool.workers.length > action.to) pool.workers.length = action.to
    else this.#add(pool, action.to - pool.workers.length)
    this.#described = undefined
    const settled = { action, atMs: this.nowMs }
    if (action.kind !== 'shrink') return { ...settled, kind: 'commanded' }
    return { ...settled, kind: 'removed', sureness: 'retired', tries: 1, tookMs: 10, delayedMs: 0 }
  }

  #observe(): Observation {
    const old = this.nowMs - (this.#described?.atMs ?? -Infinity) >= 10_000
    if (old || this.memory.urgent.size > 0) {
      this.#described = { atMs: this.nowMs, pools: this.pools.map(pool => this.#describe(pool)) }
    }
    const pools = (this.#described?.pools ?? []).map(one => ({
      ...one,
      counters: this.#counters(this.pool(one.key)),
    }))
    if (this.nowMs - this.#readMs >= this.readEveryMs) {
      this.#readMs = this.nowMs
      this.#read = this.devices.flatMap((device, ordinal) => this.#slices(device, ordinal))
    }
    return {
      atMs: this.nowMs,
      torchserve: { state: 'fresh', value: { url: 'http://t' }, atMs: this.nowMs },
      pools,
      gpus: this.readable
        ? { state: 'fresh', value: this.#read, atMs: this.#readMs }
        : { state: 'absent', why: 'nvidia-smi is gone' },
      host: this.host,
      pod: noPod,
      outcomes: this.#outcomes.splice(0),
      resized: undefined,
      notes: [],
    }
  }

  #slices(device: Device, ordinal: number): GpuSeen[] {
    const first = this.#gpu(device, ordinal)
    const others = (device.beside ?? []).map(({ totalMib, usedMib }, at) => ({
      ...first,
      id: `${first.id}+${at}`,
      totalBytes: totalMib * MIB,
      usedBytes: usedMib * MIB,
      freeBytes: (totalMib - usedMib) * MIB,
    }))
    return [...others, first]
  }

  #activity({ fullWith = Infinity, tellsActivity = false }: Device): number | undefined {
    if (!tellsActivity) return undefined
    const busy = this.pools.map(pool => (pool.busy * pool.serviceMs) / (pool.lastServiceMs || 1))
    return Math.min(1, busy.reduce((sum, one) => sum + one, 0) / fullWith)
  }

  #gpu(device: Device, ordinal: number): GpuSeen {
    const { reservedMib = 0, told, totalMib } = device
    const used = Math.min(this.usedMib(ordinal), totalMib - reservedMib)
    return {
      id: `GPU-${ordinal}`,
      ordinal,
      product: 'A100',
      mig: undefined,
      totalBytes: totalMib * MIB,
      usedBytes: used * MIB,
      freeBytes: (totalMib - reservedMib - used) * MIB,
      activity: this.#activity(device),
      sharing: undefined,
      source: 'nvidia_smi',
      atMs: this.nowMs,
      ...told,
    }
  }

  #describe(pool: Pool): PoolSeen {
    const gpu = pool.device !== 'cpu'
    const value: Description = {
      id: { model: pool.key, version: '1.0' },
      isDefault: true,
      minWorkers: pool.workers.length,
      maxWorkers: pool.workers.length,
      batchSize: 1,
      maxBatchDelayMs: 100,
      responseTimeoutMs: 120_000,
      startupTimeoutMs: 120_000,
      maxRetryMs: 300_000,
      workers: pool.workers.map(({ gpuId, id, pid, readyMs }) => ({
        id,
        pid,
        ready: readyMs <= this.nowMs,
        alive: undefined,
        gpu,
        gpuUse:
          gpu && this.tellsGpuIds
            ? { gpuId, usedBytes: undefined, activity: undefined }
            : undefined,
        use: undefined,
        memoryBytes: undefined,
      })),
      pending: Math.floor(pool.pending),
      queueFree: QUEUE - Math.floor(pool.pending),
      refusal: undefined,
      device: pool.device,
    }
    const description = { state: 'fresh', value, atMs: this.nowMs } as const
    return { key: pool.key, description, counters: this.#counters(pool) }
  }

  #counters({ lastServiceMs, latencyUs, queueUs, requests }: Pool): PoolSeen['counters'] {
    const predictionMs = requests > 0 ? lastServiceMs : undefined
    const value = { requests, latencyUs, queueUs, predictionMs }
    return { state: 'fresh', value, atMs: this.nowMs }
  }
}
