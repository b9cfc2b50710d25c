import type { PoolPolicy } from '../config.ts'
import type { Counters, Description, Inputs, PoolKey, Reading } from '../model.ts'
import type { GpuView } from './gpu/room.ts'
import { active } from './limits.ts'
import type { PoolMemory } from './memory.ts'
import { demandOf, usableOf } from './pods.ts'
import type { Needed } from './sizing.ts'
import type { Census } from './workers.ts'

/** All that the rules look at for one pool in one tick. */
export interface View {
  key: PoolKey
  nowMs: number
  /** What is decided is done; else the workers stay as they are. */
  acts: boolean
  policy: PoolPolicy
  description: Description
  /** The description is of this tick, or as young as it gets. */
  fresh: boolean
  counters: Reading<Counters>
  census: Census
  needed: Needed | undefined
  /** The most workers that were needed, with a margin, within the hold window. */
  held: number | undefined
  holdMs: number
  /** Workers in TorchServe's list, dead ones included. */
  listed: number
  waiting: number
  /** Undefined for a model that does not run on a GPU. */
  gpu: GpuView | undefined
  /** Bytes of one worker; undefined: not known. */
  workerBytes: number | undefined
  /** The most workers that memory could ever hold; Infinity where nothing limits it. */
  memoryMost: number
  memory: PoolMemory
}

/** The most live workers allowed now, and what sets it. */
export function capOf(view: View): { workers: number; by: 'maximum' | 'knee' | 'ceiling' } {
  const knee = active(view.memory.knee, view.nowMs)?.at ?? Infinity
  const ceiling = active(view.memory.ceiling, view.nowMs)?.at ?? Infinity
  const { maxWorkers, minWorkers } = view.policy
  const lowest = Math.min(knee, ceiling, maxWorkers)
  const by = lowest === maxWorkers ? 'maximum' : lowest === ceiling ? 'ceiling' : 'knee'
  return { workers: Math.max(lowest, Math.min(minWorkers, ceiling), 0), by }
}

export function inputsOf(view: View): Inputs {
  const { census, description, memory, needed, nowMs, policy } = view
  return {
    arrivalsPerSecond: needed?.arrivals ?? null,
    serviceMs: needed?.serviceMs || null,
    waiting: description.pending ?? null,
    queueFree: description.queueFree ?? null,
    ready: census.ready,
    loading: census.loading,
    dead: census.dead.size,
    listed: view.listed,
    needed: needed?.now ?? null,
    held: view.held ?? null,
    minimum: policy.minWorkers,
    maximum: policy.maxWorkers,
    knee: active(memory.knee, nowMs)?.at ?? null,
    ceiling: active(memory.ceiling, nowMs)?.at ?? null,
    loadMs: memory.loading.aloneMs ?? null,
    gpu: view.gpu ? { ...view.gpu.inputs, fits: view.gpu.fits ?? null } : null,
    workerBytes: view.workerBytes ?? null,
    memoryMost: view.memoryMost === Infinity ? null : view.memoryMost,
    usable: usableOf(view),
    podDemand: demandOf(view) ?? null,
  }
}
