/** How busy the GPUs under a model's workers are: the second witness when a growth is judged. */
import type { Worker } from '../../model.ts'
import { isOn, type Place } from './places.ts'

/**
 * A GPU that is busy for longer has no time left. Workers are processes, and without MPS the kernels of two processes take turns:
 * one that never pauses is not helped by a second one.
 */
export const GPU_FULL = 0.95
/** A GPU that is busy for less waits for something else. */
export const GPU_IDLE = 0.6

export interface Pulse {
  /** The share of time with work on the GPUs of the pool's workers, from 0 to 1. */
  share: number
  atMs: number
}

/** Undefined where it is not known of all of them, as on most slices, or others have a part in it. */
export function pulseOf(
  workers: readonly Worker[],
  places: readonly Place[] | undefined,
): Pulse | undefined {
  const under = places?.filter(place => workers.some(worker => isOn(worker, place, places))) ?? []
  const shares = under.flatMap(({ activity, shared }) => (shared ? [] : (activity ?? [])))
  if (shares.length === 0 || shares.length < under.length) return undefined
  return { share: meanOf(shares), atMs: Math.min(...under.map(({ atMs }) => atMs)) }
}

export function meanOf(shares: readonly number[]): number {
  return shares.reduce((sum, share) => sum + share, 0) / shares.length
}
