import type { Description } from '../model.ts'
import type { Change, WorkerTrack } from './memory.ts'

/** The shortest time a load is given before it counts as hanging. */
const PATIENCE_MS = 30_000
/** It ends so much before TorchServe itself kills the load and tries again: this long, or this part of its time. */
const BEFORE_TIMEOUT_MS = 5_000
const BEFORE_TIMEOUT = 0.15
/** How long the next try of a failed load is waited for, which begins after a second, or this part of TorchServe's patience. */
const NEXT_TRY_MS = 5_000
const NEXT_TRY = 0.25
/** A load that failed sooner than this would fail again before it is looked at, and each time may take a client's request with it. */
const LONG_LOAD_MS = 3_000

export type Growth =
  /** The list is shorter than commanded, as it may be for a moment. */
  | { state: 'waiting' }
  | { state: 'loading'; ready: number; of: number }
  | { state: 'loaded'; tookMs: number; of: number }
  /**
   * A long load failed, and the next try has not begun. TorchServe would not kill a worker that is taken away now: it would make that
   * try, and serve unlisted if it succeeds.
   */
  | { state: 'between_tries' }
  /** `keep`: the list up to here is sound, the worker behind it failed. */
  | { state: 'failed'; keep: number; why: string }
  /** All old workers started anew with the new one. */
  | { state: 'launcher' }

/**
 * Follows a commanded growth. TorchServe reports a failed load as success and shows it as loading; what gives it away is the
 * pid that changes, or goes, under the same worker id.
 */
export function watchGrowth(
  change: Change,
  description: Description,
  tracks: ReadonlyMap<string, WorkerTrack>,
  loadMs: number | undefined,
  nowMs: number,
): Growth {
  const fresh = description.workers.filter(worker => !change.before.has(worker.id))
  if (fresh.length === 0) return { state: 'waiting' }
  const old = description.workers.filter(worker => change.before.has(worker.id))
  const restarted = (id: string) => (tracks.get(id)?.pidChangedMs ?? 0) > change.sinceMs
  if (old.length > 1 && old.every(worker => restarted(worker.id))) return { state: 'launcher' }

  const elapsed = nowMs - change.sinceMs
  const { startupTimeoutMs } = description
  const patience = Math.min(
    Math.max(PATIENCE_MS, 10 * (loadMs ?? Infinity)),
    startupTimeoutMs - Math.min(BEFORE_TIMEOUT_MS, BEFORE_TIMEOUT * startupTimeoutMs),
  )
  for (const [index, worker] of description.workers.entries()) {
    if (change.before.has(worker.id) || worker.ready) continue
    const failedSinceMs = tracks.get(worker.id)?.failedSinceMs
    if (failedSinceMs !== undefined) {
      const isLong = failedSinceMs - change.sinceMs > LONG_LOAD_MS
      const waitMs = Math.min(NEXT_TRY_MS, NEXT_TRY * description.maxRetryMs)
      if (isLong && worker.alive === false && nowMs - failedSinceMs < waitMs)
        return { state: 'between_tries' }
      return { state: 'failed', keep: index, why: 'its process ended while loading' }
    }
    if (elapsed > patience) {
      const seconds = Math.round(elapsed / 1000)
      return { state: 'failed', keep: index, why: `it has been loading for ${seconds} s` }
    }
  }
  if (description.workers.length < change.action.to) return { state: 'waiting' }
  const ready = fresh.filter(worker => worker.ready).length
  if (ready < fresh.length) return { state: 'loading', ready, of: fresh.length }
  return { state: 'loaded', tookMs: elapsed, of: fresh.length }
}
