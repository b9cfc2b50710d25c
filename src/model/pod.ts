/** The nouns of the pod's memory. Sizes are bytes, times milliseconds since the epoch. */
import type { Reading } from '../model.ts'

/** The agent's own pod, in which TorchServe's container is one. */
export interface PodSeen {
  /** As the API server shows it. */
  state: Reading<PodState>
  /** The TorchServe container's memory as its cgroup shows it. */
  memory: Reading<ContainerMemory>
}

/** Memory of the TorchServe container in its cgroup. */
export interface ContainerMemory {
  /** Everything, page cache included: what the kubelet holds against a lower limit. */
  usageBytes: number
  /** Without the file pages that the kernel would give back at once. */
  workingBytes: number
  /** Undefined: no limit. */
  limitBytes: number | undefined
  /** Processes that the kernel has killed there for want of memory. */
  oomKills: number
}

/** Memory of a container in one of its states; undefined: not set. */
export interface MemoryResources {
  requestBytes: number | undefined
  limitBytes: number | undefined
}

/** A condition the kubelet put on the pod because of a resize. */
export interface ResizeCondition {
  /** Empty while the kubelet acts, and for up to 17 s after it refused. */
  reason: string
  message: string
  /** The pod's generation this is said of; an older one's condition may still stand. */
  observedGeneration: number | undefined
  /** By how much the request is more than the node has room for, where that is said. */
  excessBytes: number | undefined
}

/** The agent's own pod as the API server shows it. */
export interface PodState {
  uid: string
  /** Changes with every write to the pod, the kubelet's status included; a fence for the next write. */
  resourceVersion: string
  /** Rises with every change of what is wanted of the pod, and when it is deleted; 0 for one from before Kubernetes 1.33, until it is changed. */
  generation: number
  /** The generation the kubelet has looked at last; undefined before it has, and before Kubernetes 1.34. */
  observedGeneration: number | undefined
  /** Deleted and not gone yet. The API server still takes a resize then; nothing comes of it. */
  terminating: boolean
  phase: string
  qosClass: 'Guaranteed' | 'Burstable' | 'BestEffort'
  container: ContainerState
  /** The kubelet has not accepted the wish: `Deferred` until the node has room, `Infeasible` for good. Look here first. */
  pending: ResizeCondition | undefined
  /** The kubelet has accepted the wish and acts; `Error` when it does not succeed and tries again. */
  inProgress: ResizeCondition | undefined
  /** The pod's own limit as the kubelet reports it (Kubernetes 1.36): below the sum of its containers' limits, it was left behind. */
  podLimitBytes: number | undefined
  /** Who else sets the memory of this container, or of the pod as a whole. Whoever we overwrote is not seen any more. */
  peers: readonly Peer[]
}

export interface Peer {
  /** Its field manager, or `vertical-pod-autoscaler` where that one's annotations are on the pod. */
  name: string
  /** Undefined for the annotations, which say that it may write at any time. */
  wroteAtMs: number | undefined
}

/** The TorchServe container. */
export interface ContainerState {
  /** What the spec says. */
  desired: MemoryResources
  /** What the kubelet has accepted, even where it then fails to act; it knows only the request. Undefined before the first start. */
  allocatedRequestBytes: number | undefined
  /** What the kubelet last read back; undefined before the first start. Kubelets without support for resize never say it. */
  actual: MemoryResources | undefined
  running: boolean
  restartCount: number
  /** Why it ended the last time, as `OOMKilled`. */
  lastTermination:
    { reason: string; exitCode: number; finishedAtMs: number | undefined } | undefined
  /** A change of its memory restarts it (resizePolicy `RestartContainer`). */
  restartsOnResize: boolean
}

/** A change of the TorchServe container's memory; of an amount that is undefined the container has none, or it stays. */
export interface ResizeAction {
  kind: ResizeKind
  to: MemoryResources
  from: MemoryResources
  /** The container must still be the one that was decided on. */
  restartCount: number
}

/**
 * `raise`: before workers start. `lower`: after they have gone. `revert`: back to what the kubelet has, so that a refused wish
 * blocks nobody. `heal`: the smallest change, so that the kubelet sets a pod's cgroup that it left behind.
 */
export type ResizeKind = 'raise' | 'lower' | 'revert' | 'heal'

/** What became of the order; whether memory comes is seen, not told. */
export type ResizeOutcome = { action: ResizeAction; atMs: number } & (
  | { kind: 'accepted' }
  | { kind: 'advised' }
  /** The container or the pod was no longer fit for it, and nothing was sent. */
  | { kind: 'unfit'; why: string }
  | {
      kind: 'failed'
      code: string
      message: string
      /** The most that would have been granted, where the refusal says it. */
      ceiling: MemoryResources
      /** The least, likewise. */
      floor: MemoryResources
      retryAfterMs: number | undefined
    }
)

/** Why the pod's memory holds or changes. */
export type ResizeReason =
  // changes
  | 'more_workers'
  | 'fewer_workers'
  | 'taken_back'
  | 'healing'
  // holds
  | 'fits'
  | 'limit_kept'
  | 'confirming'
  | 'memory_unknown'
  | 'memory_stale'
  | 'not_running'
  | 'unsupported'
  | 'limited'
  | 'peer'
  | 'paused'

/** The numbers a resize was decided from; bytes, null where not known. */
export interface MemoryInputs {
  /** What the listed workers and everything beside them need, margin included. */
  need: number | null
  /** The same for all workers that are asked for. */
  wanted: number | null
  /** What TorchServe holds beside its workers. */
  base: number | null
  usage: number | null
  working: number | null
  /** What may be used: the kubelet has set it. */
  granted: number | null
  desired: MemoryResources | null
  actual: MemoryResources | null
  cap: number | null
  ceiling: number | null
}

export interface ResizeDecision {
  atMs: number
  reason: ResizeReason
  /** One sentence for a person. */
  because: string
  inputs: MemoryInputs
  /** Absent: hold. */
  action?: ResizeAction
}

/** What it would cost to lose this pod, and whether that is to be written now. */
export interface CostDecision {
  atMs: number
  /** From 0, nothing to do, to 20; null: not known, or of no use any more. */
  cost: number | null
  /** What is known to stand on the pod. */
  written: number | null
  write: boolean
  /** One sentence for a person. */
  because: string
}

export type CostOutcome = { cost: number; atMs: number } & (
  | { kind: 'written' }
  | { kind: 'advised' }
  | { kind: 'failed'; code: string; message: string; retryAfterMs: number | undefined }
)
