/**
 * The most that a worker can need, where nothing tells what it does: those that serve fit into what the container had, TorchServe
 * itself included.
 */
import type { Observation, PodSeen, PodState, PoolKey } from '../model.ts'
import type { PodMemory, PoolUse } from './pod.ts'
import { MARGIN, withoutMargin } from './ledger.ts'
import { largest } from './window.ts'

/** A container in which workers served. */
export interface First {
  limitBytes: number
  requestBytes: number | undefined
  workers: ReadonlyMap<PoolKey, number>
}

/** Undefined until all pools' workers serve, where no limit is known, and where what all workers need is. */
export function firstOf(
  pod: PodSeen,
  torchserve: Observation['torchserve'],
  pools: readonly PoolUse[],
): First | undefined {
  if (torchserve.state !== 'fresh' || pod.state.state !== 'fresh') return undefined
  const isUnknown = pools.some(use => use.workers > 0 && use.isBound)
  if (!isUnknown || !pools.every(use => use.isSure)) return undefined
  const { actual, desired } = pod.state.value.container
  const limitBytes = (actual ?? desired).limitBytes
  if (limitBytes === undefined) return undefined
  const workers = new Map(pools.map(use => [use.key, use.workers]))
  return { limitBytes, requestBytes: requestOf(pod.state.value), workers }
}

/** What the pod asks for: its request, or a limit in the place of one. */
export function requestOf({ container: { actual, desired } }: PodState): number | undefined {
  return desired.requestBytes ?? actual?.limitBytes ?? desired.limitBytes
}

export function boundOf({ first }: PodMemory): number | undefined {
  if (!first) return undefined
  const workers = first.workers.values().reduce((sum, count) => sum + count, 0)
  return withoutMargin(first.limitBytes, MARGIN) / workers
}

/** Whether a need that rests on the bound is less than what is known to have been enough: of fewer workers it tells nothing. */
export function isBelowFirst(
  { base, declaredBase, first }: PodMemory,
  need: number | undefined,
): boolean {
  const rests = largest(base) === undefined && declaredBase === undefined
  return rests && first !== undefined && (need ?? 0) < first.limitBytes
}
