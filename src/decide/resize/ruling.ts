import type { MemoryPolicy } from '../../config.ts'
import type {
  ContainerMemory,
  MemoryResources,
  PodState,
  Reading,
  ResizeAction,
  ResizeDecision,
  ResizeKind,
  ResizeReason,
} from '../../model.ts'
import type { Limit } from '../limits.ts'

/** A resize that was ordered and is not settled. */
export interface Ordered {
  action: ResizeAction
  sinceMs: number
  /** When the API server answered; undefined before. What is left is to see it happen. */
  answeredMs: number | undefined
}

interface Pause {
  untilMs: number
  lastsMs: number
  /** As the end of a sentence, as in Limit. */
  why: string
}

/** What is remembered of the pod's memory between ticks. */
export interface ResizeMemory {
  ordered: Ordered | undefined
  /** The most that was not refused; bytes of the request. */
  ceiling: Limit | undefined
  /** The least that was not refused, likewise. */
  floor: Limit | undefined
  /** Resizing does not work here at all. */
  off: Limit | undefined
  /** Nothing is ordered meanwhile. */
  pause: Pause | undefined
  /** The limit is not lowered meanwhile: the kubelet refused. */
  keepLimit: Pause | undefined
  /** Kubernetes 1.33: limits only rise. */
  limitOnlyRises: boolean
  /** What we set or found; anything else was set by somebody. */
  expected: MemoryResources | undefined
  peer: { untilMs: number; lastsMs: number } | undefined
  /** Bytes between request and limit, as first found. */
  distance: number | undefined
  /** The pod's cgroup may have been left behind: a resize met a container that was not running. */
  suspect: boolean
  healedMs: number | undefined
  restartCount: number | undefined
  /** The cgroup has been seen: what is not seen in it has not happened. */
  seesCgroup: boolean
  tooMuchSinceMs: number | undefined
}

export const noResize: ResizeMemory = {
  ordered: undefined,
  ceiling: undefined,
  floor: undefined,
  off: undefined,
  pause: undefined,
  keepLimit: undefined,
  limitOnlyRises: false,
  expected: undefined,
  peer: undefined,
  distance: undefined,
  suspect: false,
  healedMs: undefined,
  restartCount: undefined,
  seesCgroup: false,
  tooMuchSinceMs: undefined,
}

/** All that the rules look at. */
export interface ResizeView {
  nowMs: number
  policy: MemoryPolicy
  pod: PodState
  /** When `pod` was read. */
  readAtMs: number
  cgroup: Reading<ContainerMemory>
  /** What the workers that are asked for need together, margin included; undefined: not known. */
  wanted: number | undefined
  /** The same of the workers that are there. */
  need: number | undefined
  /** What the workers need once they serve is known: less than that is not too much. */
  sure: boolean
  memory: ResizeMemory
}

export interface Ruling extends Pick<ResizeDecision, 'reason' | 'because' | 'action'> {
  memory: ResizeMemory
}

/** A rule settles the matter with a ruling, hands on what it learned as a new view, or has nothing to say. */
export type Rule = (view: ResizeView) => Ruling | { learned: ResizeView } | undefined

export function learned(view: ResizeView, memory: Partial<ResizeMemory>): { learned: ResizeView } {
  return { learned: { ...view, memory: { ...view.memory, ...memory } } }
}

export function hold(
  view: ResizeView,
  reason: ResizeReason,
  because: string,
  memory: Partial<ResizeMemory> = {},
): Ruling {
  return { reason, because, memory: { ...view.memory, ...memory } }
}

export function order(
  view: ResizeView,
  kind: ResizeKind,
  to: MemoryResources,
  reason: ResizeReason,
  because: string,
  memory: Partial<ResizeMemory> = {},
): Ruling {
  const { desired, restartCount } = view.pod.container
  const action: ResizeAction = { kind, to, from: desired, restartCount }
  const ordered = { action, sinceMs: view.nowMs, answeredMs: undefined }
  return {
    reason,
    because,
    action,
    memory: { ...view.memory, tooMuchSinceMs: undefined, ...memory, ordered },
  }
}

/** Twice as long as the last time, if that was not long ago. */
export function longer(
  before: { untilMs: number; lastsMs: number } | undefined,
  nowMs: number,
  firstMs: number,
  longestMs: number,
): number {
  const repeated = before !== undefined && nowMs < before.untilMs + before.lastsMs
  return repeated ? Math.min(2 * before.lastsMs, longestMs) : firstMs
}
