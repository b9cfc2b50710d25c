import type { Action, PoolKey } from '../model.ts'
import { noCost, type Cost } from './cost.ts'
import { noDeletionCost, type CostMemory } from './deletion.ts'
import { noGpuMemory, type GpuMemory } from './gpu/learn.ts'
import { noDemand, type Baseline, type Demand } from './demand.ts'
import type { Trial } from './knee.ts'
import type { Limit } from './limits.ts'
import { noLoading, type Loading } from './loading.ts'
import { newPod, type PodMemory } from './pod.ts'
import { emptyWindow, type MaxWindow } from './window.ts'

/** What is remembered of one worker between describes. */
export interface WorkerTrack {
  pid: number | undefined
  /** When it was last seen to become not ready; undefined while ready. */
  notReadySinceMs: number | undefined
  /** When its first failure was seen: its process changed or went, or it fell from READY. */
  failedSinceMs: number | undefined
  pidChangedMs: number
  wasReady: boolean
}

/** An action that was given out and is not settled. */
export interface Change {
  action: Action
  sinceMs: number
  /** TorchServe accepted it; what is left is to see it happen. */
  commanded: boolean
  /** Ids listed before, to tell the new workers. */
  before: ReadonlySet<string>
  baseline: Baseline | undefined
}

export interface PoolMemory {
  firstSeenMs: number
  demand: Demand
  cost: Cost
  window: MaxWindow
  workers: ReadonlyMap<string, WorkerTrack>
  loading: Loading
  change: Change | undefined
  trial: Trial | undefined
  /** The most workers that were seen to work beside each other. */
  proven: number
  /** A growth that looked useless and was not proven to be: what comes after it is held against what was before it. */
  unsure: Trial | undefined
  /** With what requests took at it. */
  knee: (Limit & { serviceMs?: number | undefined }) | undefined
  ceiling: Limit | undefined
  /** The worker count that we commanded or found; another one in the list was set by somebody else. */
  expected: number | undefined
  foreign: { untilMs: number; lastsMs: number } | undefined
  /** No worker is taken before this time. */
  noShrinkBeforeMs: number
  shrinksAbandoned: number
  noActionBeforeMs: number
  /** Consecutive ticks with jobs waiting. */
  waitingTicks: number
  /** The request counter when the pool was last seen with workers: arrivals since then wake it. */
  requestsWithWorkers: number | undefined
  /** All workers restarted when one was added: cpu_launcher_enable, which cannot be seen otherwise. */
  launcher: boolean
  /** Its workers run on GPUs; as last seen, while there are none. Undefined: none was ever seen. */
  onGpu: boolean | undefined
}

export interface Memory {
  pools: ReadonlyMap<PoolKey, PoolMemory>
  pod: PodMemory
  /** Models that cannot wait for TorchServe's next regular description: a change is under way, or waits for it. */
  urgent: ReadonlySet<string>
  gpu: GpuMemory
  deletionCost: CostMemory
}

export const emptyMemory: Memory = {
  pools: new Map(),
  pod: newPod,
  urgent: new Set(),
  gpu: noGpuMemory,
  deletionCost: noDeletionCost,
}

export function newPool(nowMs: number): PoolMemory {
  return {
    firstSeenMs: nowMs,
    demand: noDemand,
    cost: noCost,
    window: emptyWindow,
    workers: new Map(),
    loading: noLoading,
    change: undefined,
    trial: undefined,
    proven: 1,
    unsure: undefined,
    knee: undefined,
    ceiling: undefined,
    expected: undefined,
    foreign: undefined,
    noShrinkBeforeMs: 0,
    shrinksAbandoned: 0,
    noActionBeforeMs: 0,
    waitingTicks: 0,
    requestsWithWorkers: undefined,
    launcher: false,
    onGpu: undefined,
  }
}
