/**
 * The most that workers can need, where nothing tells what one does: those that served fitted into what the container had,
 * TorchServe itself included. Without a limit that is its request: nothing holds it to that, but it is what was declared to be enough.
 */
import type { Observation, PodSeen, PodState, PoolKey } from '../model.ts'
import type { PoolUse } from './pod.ts'

/** A container in which workers served. */
export interface First {
  /** Its limit, or else its request. */
  bytes: number
  requestBytes: number | undefined
  workers: ReadonlyMap<PoolKey, number>
}

/**
 * Taken once a pool serves, and again only for workers of a pool that was not there: an amount raised since then says less. Undefined
 * while neither limit nor request is known, and where what all workers need is.
 */
export function firstOf(
  before: First | undefined,
  { state }: PodSeen,
  torchserve: Observation['torchserve'],
  pools: readonly PoolUse[],
): First | undefined {
  if (torchserve.state !== 'fresh' || state.state !== 'fresh') return before
  const isNew = (use: PoolUse) =>
    use.cost === undefined && use.workers > 0 && !before?.workers.get(use.key)
  const isServing = pools.some(use => use.workers > 0 && use.isSure)
  if (!isServing || !pools.some(isNew)) return before
  const { actual, desired } = state.value.container
  const requestBytes = requestOf(state.value)
  const bytes = (actual ?? desired).limitBytes ?? requestBytes
  if (bytes === undefined) return before
  const workers = new Map(pools.map(use => [use.key, use.workers]))
  return { bytes, requestBytes, workers }
}

/** What the pod asks for: its request, or a limit in the place of one. */
export function requestOf({ container: { actual, desired } }: PodState): number | undefined {
  return desired.requestBytes ?? actual?.limitBytes ?? desired.limitBytes
}
