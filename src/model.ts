/**
 * The nouns every part speaks in. Times are milliseconds since the epoch unless a name says otherwise; sizes are bytes.
 */

import type { GpuInputs, GpuSeen, GpuUse, HostSeen } from './model/gpu.ts'
import type { CostOutcome, PodSeen, ResizeOutcome } from './model/pod.ts'

export type * from './model/gpu.ts'
export type * from './model/pod.ts'

/** A value with its age. Unknown is not zero, and an old number is not a number. */
export type Reading<T> =
  | { state: 'fresh'; value: T; atMs: number }
  | { state: 'stale'; value: T; atMs: number; why: string }
  | { state: 'absent'; why: string }

/** One pool of workers in TorchServe: a model in one version. */
export interface PoolId {
  model: string
  version: string
}

/** The pool's name in logs, on the page and as a map key: `resnet` or `resnet:2.0` when several versions are served. */
export type PoolKey = string

/** One entry of `workers[]` in a describe reply. */
export interface Worker {
  /** TorchServe's worker id (its port); never reused, and kept when the process is restarted. */
  id: string
  /** Process id in TorchServe's PID namespace; absent before the process is up. */
  pid: number | undefined
  /** READY in the describe reply. Anything else means loading, crashed or dead. */
  ready: boolean
  /** Whether the process is alive; absent where processes cannot be seen. */
  alive: boolean | undefined
  gpu: boolean
  /** What its process and that one's children use; absent where processes cannot be seen. */
  use: ProcessUse | undefined
  /** Where it runs and what TorchServe last read of that GPU; absent on the CPU, or where TorchServe cannot read it. */
  gpuUse?: GpuUse | undefined
  /** Resident bytes as TorchServe last knew them: a hint, often stale. Absent while it says 0. */
  memoryBytes: number | undefined
}

/** What a process tree uses. */
export interface ProcessUse {
  /** Memory that is its own: anonymous and shared pages, without those of files. */
  bytes: number
  /** Processor time since its start. */
  cpuMs: number
}

/** Why a pool must not be scaled: a worker is more than a worker there. */
export type Refusal =
  'stateful' | 'parallel' | 'continuous_batching' | 'job_ticket' | 'launcher' | 'switched_off'

/** What `GET /models/{model}/all` says of one version; fields that older TorchServes lack are absent. */
export interface Description {
  id: PoolId
  isDefault: boolean
  minWorkers: number
  maxWorkers: number
  batchSize: number
  maxBatchDelayMs: number
  responseTimeoutMs: number
  /** A load that takes longer is killed and tried again. */
  startupTimeoutMs: number
  /** `/ping` turns red this long after a worker's first failure. */
  maxRetryMs: number
  /** In TorchServe's order: scaling down removes the last. */
  workers: readonly Worker[]
  /** Jobs waiting, without those executing or being assembled into a batch. */
  pending: number | undefined
  queueFree: number | undefined
  refusal: Refusal | undefined
  /** What new workers will run on; absent where TorchServe does not say. */
  device?: 'cpu' | 'gpu' | undefined
}

/** TorchServe's counters of one pool since it started; they fall only when it restarts. */
export interface Counters {
  /** Counted at arrival, rejected ones included. */
  requests: number
  /** Sum over successful answers, queue time included; microseconds. */
  latencyUs: number
  /** The part of `latencyUs` spent waiting; microseconds. */
  queueUs: number
  /** Handler time of the last batch that any worker ran; milliseconds. */
  predictionMs: number | undefined
  /** The same where it may have been a batch of another version of the model. */
  sharedPredictionMs?: number | undefined
}

export interface PoolSeen {
  key: PoolKey
  description: Reading<Description>
  counters: Reading<Counters>
}

/** Everything that was seen in one tick. A pool is listed as long as TorchServe lists it. */
export interface Observation {
  atMs: number
  /** Whether TorchServe's management API could be read; pools keep their last description, stale, when not. */
  torchserve: Reading<{ url: string }>
  pools: readonly PoolSeen[]
  pod: PodSeen
  /** The GPUs of TorchServe's container; absent where no model uses one, or nobody can tell. */
  gpus: Reading<readonly GpuSeen[]>
  /** Read only where a model uses a GPU. */
  host: Reading<HostSeen>
  /** What became of actions since the last tick. */
  outcomes: readonly Outcome[]
  /** What became of the resize that was ordered, once it is known. */
  resized: ResizeOutcome | undefined
  /** What became of the deletion cost that was to be written, once it is known. */
  costed?: CostOutcome | undefined
  /** Absent: nobody wants the pod drained. */
  drain?: DrainRequest | undefined
  /** Things to tell the user: one sentence with the remedy, by a stable code of errors.ts. */
  notes: readonly Note[]
}

/** Before the pod goes, somebody wants to know when no client waits for an answer any more. */
export interface DrainRequest {
  sinceMs: number
  /** When the request is forgotten: the pod has stayed. */
  untilMs: number
}

/** How far a drain is. */
export interface Drained {
  request: DrainRequest
  done: boolean
  /** What it waits for, or that there is nothing left. */
  because: string
}

export interface Note {
  code: string
  message: string
}

/** Why a pool holds or changes; the label of `stoker_decisions_total` and the code in `/decisions`. */
export type Reason =
  // changes
  | 'demand'
  | 'backlog'
  | 'wake'
  | 'idle'
  | 'below_minimum'
  | 'above_maximum'
  | 'excess'
  | 'knee'
  | 'load_failed'
  | 'dead_worker'
  // holds
  | 'steady'
  | 'in_flight'
  | 'loading'
  | 'measuring'
  | 'hold_window'
  | 'at_maximum'
  | 'at_knee'
  | 'at_ceiling'
  | 'gpu_full'
  | 'gpu_unknown'
  | 'gpu_unhealthy'
  | 'cpu_full'
  | 'consolidation'
  | 'learning'
  | 'stale'
  | 'foreign_change'
  | 'refused'
  | 'cooldown'
  | 'memory'
  | 'at_memory'
  | 'draining'

export type ActionKind = 'grow' | 'shrink' | 'rollback' | 'repair'

/**
 * One change of a pool's worker count.
 * `grow`: PUT `to`. `shrink`: retire the last worker, `to` is `from` - 1. `rollback`: PUT `to`, the workers above it never
 * served or are dead. `repair`: every worker is dead; PUT 0, then `to`.
 */
export interface Action {
  kind: ActionKind
  pool: PoolId
  key: PoolKey
  from: number
  to: number
}

/** The numbers a decision was made from; absent ones are null so that they can be read back from JSON. */
export interface Inputs {
  arrivalsPerSecond: number | null
  serviceMs: number | null
  waiting: number | null
  queueFree: number | null
  ready: number
  loading: number
  dead: number
  listed: number
  /** What Erlang-C asks for now, unclipped. */
  needed: number | null
  /** The most that was needed within the hold window. */
  held: number | null
  minimum: number
  maximum: number
  knee: number | null
  ceiling: number | null
  loadMs: number | null
  /** Null for a model that does not run on a GPU. */
  gpu: GpuInputs | null
  /** Memory of one worker, learned or declared; bytes. */
  workerBytes: number | null
  /** Workers that the pod's memory could hold at the most that may be asked for; null where nothing limits it. */
  memoryMost: number | null
  /** The most workers that the pool can come to have: the least of maximum, knee, ceiling and `memoryMost`, and at least 1. */
  usable: number
  /** The load by what the usable workers can take: 1 is a pod's worth, and more is more than this pod can take. */
  podDemand: number | null
}

export interface Decision {
  atMs: number
  key: PoolKey
  pool: PoolId
  reason: Reason
  /** One sentence for a person. */
  because: string
  inputs: Inputs
  /** Absent: hold. */
  action?: Action
}

/** How sure it was that a worker that went held nobody's request. */
export type Sureness =
  /** It was stopped and proven to hold only our decoy. */
  | 'retired'
  /** It had just gone from busy to idle and others stood before it in line. */
  | 'edge'
  /** No request had arrived for longer than one takes, and nothing was waiting. */
  | 'gap'
  /** It never served: loading, failed or dead. */
  | 'never_served'

/** How an action ended. `commanded`: TorchServe accepted it; whether workers come is seen, not told. */
export type Ending =
  | { kind: 'commanded' }
  /** `delayedMs`: the longest that requests may have waited for a stopped worker, summed over the tries. */
  | { kind: 'removed'; sureness: Sureness; tries: number; tookMs: number; delayedMs: number }
  | { kind: 'abandoned'; why: string; tries: number; tookMs: number; delayedMs: number }
  | { kind: 'advised' }
  | { kind: 'failed'; code: string; message: string }

export type Outcome = { action: Action; atMs: number } & Ending
