import type {
  MemoryInputs,
  ResizeAction,
  ResizeDecision,
  ResizeOutcome,
  ResizeReason,
} from '../model.ts'
import { createLog, type Logged } from './log.ts'
import { resizeReasons } from './reasons.ts'
import type { Tick } from './tick.ts'

/** What the pod's memory was at one tick, in bytes, and its load; null: not known then. */
export type MemoryPoint = readonly [
  atMs: number,
  request: number | null,
  limit: number | null,
  granted: number | null,
  used: number | null,
  needed: number | null,
  podDemand: number | null,
]

export type LoggedResize = Logged<ResizeDecision, ResizeOutcome>

/** The pod's memory as the page draws it. */
export interface MemoryState {
  reason: ResizeReason
  label: string
  because: string
  action: ResizeAction | null
  inputs: MemoryInputs
  points: readonly MemoryPoint[]
}

export interface MemoryHistory {
  record(tick: Tick): void
  /** Null where nothing is known of memory; points only those after `sinceMs`. */
  state(sinceMs: number): MemoryState | null
  /** Newest first; those that are new, were repeated or had an outcome after `sinceMs`. */
  since(sinceMs: number): LoggedResize[]
}

export function createMemoryHistory(pointsMax: number): MemoryHistory {
  const log = createLog<ResizeDecision, ResizeOutcome, LoggedResize>({
    decided: () => '',
    ended: () => '',
    log: logged,
  })
  const points: MemoryPoint[] = []
  let latest: ResizeDecision | undefined
  return {
    record({ seen, resize, podDemand }) {
      latest = resize
      if (seen.resized) log.attach(seen.resized, seen.atMs)
      if (!resize) return
      log.add(resize, seen.atMs)
      points.push(pointOf(seen.atMs, resize.inputs, podDemand))
      if (points.length > pointsMax) points.shift()
    },
    state(sinceMs) {
      if (!latest) return null
      const { reason, because, inputs, action = null } = latest
      const { label } = resizeReasons[reason]
      const from = points.findLastIndex(([atMs]) => atMs <= sinceMs) + 1
      return { reason, label, because, inputs, action, points: points.slice(from) }
    },
    since: sinceMs => log.since(sinceMs),
  }
}

function pointOf(
  atMs: number,
  { desired, granted, usage, wanted }: MemoryInputs,
  podDemand: number | undefined,
): MemoryPoint {
  const { requestBytes = null, limitBytes = null } = desired ?? {}
  return [atMs, requestBytes, limitBytes, granted, usage, wanted, podDemand ?? null]
}

function logged(id: number, decision: ResizeDecision): LoggedResize {
  const { atMs, reason, because, inputs, action = null } = decision
  const { label } = resizeReasons[reason]
  return { id, atMs, lastMs: atMs, times: 1, reason, label, because, inputs, action, outcomes: [] }
}
