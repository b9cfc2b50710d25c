import type { Description, Worker } from '../model.ts'
import type { WorkerTrack } from './memory.ts'

/** TorchServe waits 1, 1, 2, 3, 5, 8 … s between tries, and makes one more after its time is up. */
const LAST_TRY = 1.3
const LAST_TRY_MS = 5_000

export interface Census {
  tracks: ReadonlyMap<string, WorkerTrack>
  ready: number
  loading: number
  /** Listed and never coming back: TorchServe has stopped trying. */
  dead: ReadonlySet<string>
}

/** Follows every listed worker through its processes: the id stays, the pid tells the story. */
export function takeCensus(
  description: Description,
  previous: ReadonlyMap<string, WorkerTrack>,
  nowMs: number,
): Census {
  const tracks = new Map(
    description.workers.map(worker => [worker.id, follow(worker, previous.get(worker.id), nowMs)]),
  )
  const dead = new Set(
    description.workers
      .filter(worker => isDead(worker, tracks.get(worker.id), description, nowMs))
      .map(worker => worker.id),
  )
  const ready = description.workers.filter(worker => worker.ready).length
  return { tracks, ready, dead, loading: description.workers.length - ready - dead.size }
}

function follow(worker: Worker, before: WorkerTrack | undefined, nowMs: number): WorkerTrack {
  if (worker.ready) {
    return {
      pid: worker.pid,
      notReadySinceMs: undefined,
      failedSinceMs: undefined,
      pidChangedMs: before && before.pid === worker.pid ? before.pidChangedMs : nowMs,
      wasReady: true,
    }
  }
  const known = before?.pid
  const replaced = known !== undefined && worker.pid !== known
  const fell = before?.wasReady === true && before.notReadySinceMs === undefined
  const failed = replaced || fell || worker.alive === false
  return {
    pid: worker.pid ?? known,
    notReadySinceMs: before?.notReadySinceMs ?? nowMs,
    failedSinceMs: before?.failedSinceMs ?? (failed ? nowMs : undefined),
    pidChangedMs: before && !replaced ? before.pidChangedMs : nowMs,
    wasReady: before?.wasReady ?? false,
  }
}

function isDead(
  worker: Worker,
  track: WorkerTrack | undefined,
  { maxRetryMs, startupTimeoutMs }: Description,
  nowMs: number,
): boolean {
  if (worker.ready || worker.alive === true || !track) return false
  const quietMs = nowMs - track.pidChangedMs
  const gaveUpMs = LAST_TRY * maxRetryMs + LAST_TRY_MS
  if (track.failedSinceMs !== undefined) {
    return nowMs - track.failedSinceMs > gaveUpMs && quietMs > LAST_TRY_MS
  }
  // A load that lives is killed at its timeout, so a process that stays the same for longer has long been gone.
  return quietMs > startupTimeoutMs + gaveUpMs
}
