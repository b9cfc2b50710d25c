/**
 * What it would cost to lose this pod: the more its load keeps busy, the more. Of the pods of a ReplicaSet those with the least
 * go first (`controller.kubernetes.io/pod-deletion-cost`).
 */
import type { CostDecision, CostOutcome, Observation } from '../model.ts'
import { keptBusy } from './erlang.ts'
import { isMeasured } from './pods.ts'
import type { View } from './view.ts'
import { seconds } from './words.ts'

/** Every write is one to the API server, and all who watch pods are told: Kubernetes asks for few. */
const EVERY_MS = 120_000
/** One busy worker; each step more is twice the load, so that small changes are none. */
const ONE_WORKER = 6
const MOST = 20
/** A load between two steps stays on the one it was on. */
const STAYS = 0.75

export interface CostMemory {
  /** Undefined: not known, as before the first and after a failed write. */
  written: number | undefined
  nextMs: number
}

export const noDeletionCost: CostMemory = { written: undefined, nextMs: 0 }

/** Whether the pod's deletion cost is to be written now, and which. Nothing is while the pod goes, or its load is not known. */
export function decideCost(
  before: CostMemory,
  seen: Observation,
  views: readonly View[],
  nowMs: number,
): { decision: CostDecision; memory: CostMemory } {
  const memory = takeIn(before, seen.costed)
  const written = memory.written ?? null
  const hold = (cost: number | null, because: string) => ({
    decision: { atMs: nowMs, cost, written, write: false, because },
    memory,
  })
  const { state } = seen.pod
  if (seen.drain || (state.state !== 'absent' && state.value.terminating))
    return hold(null, 'The pod is going: nothing is written any more.')
  const busy = views.length < seen.pools.length ? undefined : busyBy(views)
  if (busy === undefined) return hold(null, 'The load is not known, so what was written stays.')
  const { cost, because } = costOf(busy, views, memory.written)
  if (cost === memory.written) return hold(cost, because)
  const leftMs = memory.nextMs - nowMs
  if (leftMs > 0) return hold(cost, `${because} It may be written in ${seconds(leftMs)}.`)
  return {
    decision: { atMs: nowMs, cost, written, write: true, because },
    memory: { ...memory, nextMs: nowMs + EVERY_MS },
  }
}

function takeIn(memory: CostMemory, outcome: CostOutcome | undefined): CostMemory {
  if (!outcome) return memory
  if (outcome.kind !== 'failed') return { ...memory, written: outcome.cost }
  const retryMs = outcome.atMs + (outcome.retryAfterMs ?? 0)
  return { written: undefined, nextMs: Math.max(memory.nextMs, retryMs) }
}

function costOf(busy: number, views: readonly View[], before: number | undefined) {
  if (views.every(({ census }) => census.ready === 0))
    return { cost: 0, because: 'No worker is ready, so nobody is served here.' }
  if (busy === 0) return { cost: 0, because: 'No request comes.' }
  const step = ONE_WORKER + Math.log2(busy)
  const stays = before !== undefined && before > 0 && Math.abs(step - before) <= STAYS
  const cost = stays ? before : Math.min(Math.max(Math.round(step), 1), MOST)
  return { cost, because: `What comes and waits keeps ${busy.toFixed(2)} workers busy.` }
}

/** Workers that the load of all pools keeps busy, whatever this pod has; undefined while that of any is not known. */
function busyBy(views: readonly View[]): number | undefined {
  const loads = views.filter(isMeasured).map(({ needed }) => needed?.lasting)
  if (loads.length === 0 || loads.includes(undefined)) return undefined
  return loads.reduce((sum, load) => sum + (load ? keptBusy(load) : 0), 0)
}
