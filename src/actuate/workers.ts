import type { Clock } from '../clock.ts'
import type { Processes } from '../clients/processes.ts'
import type { PoolPolicy } from '../config.ts'
import { StokerError, type ErrorCode } from '../errors.ts'
import type { Action, Ending, Outcome, PoolKey, Worker } from '../model.ts'
import { shrink, type Actuated, type PoolState } from './shrink.ts'
import type { OpenGuard } from './stopping.ts'

/** Answers to a decoy that were errors, after which a model's handler is left in peace. */
const DISLIKES = 2

export interface WorkersActuator {
  /** Begins an action and returns; what became of it is in a later `outcomes()`. */
  start(action: Action, pool: PoolState): void
  /** What has become of actions since the last call. */
  outcomes(): Outcome[]
  /** Continues workers that were left stopped when an agent died; once per pool. */
  adopt(key: PoolKey, workers: readonly Worker[]): void
  /** Resolves when nothing is in flight. */
  settled(): Promise<void>
}

export interface ActuatorOptions {
  torchserve: Actuated
  processes: Processes
  openGuard: OpenGuard
  clock: Clock
  policyOf: (model: string) => PoolPolicy
  /** Every action ends as `advised`, and nothing is done. */
  advise: boolean
}

export function createWorkersActuator(on: ActuatorOptions): WorkersActuator {
  const { clock, processes } = on
  const done: Outcome[] = []
  const flying = new Map<PoolKey, Promise<void>>()
  const dislikes = new Map<PoolKey, number>()
  const adopted = new Set<PoolKey>()

  const shrinking = ({ key, pool }: Action) => {
    const { decoys } = on.policyOf(pool.model)
    const times = dislikes.get(key) ?? 0
    const mayDecoy = decoys === 'on' || (decoys === 'auto' && times < DISLIKES)
    return { ...on, mayDecoy, disliked: () => void dislikes.set(key, times + 1) }
  }

  return {
    start(action, pool) {
      const end = (ending: Ending) => {
        done.push({ action, atMs: clock.now(), ...ending })
        flying.delete(action.key)
      }
      if (on.advise) return end({ kind: 'advised' })
      if (flying.has(action.key)) {
        const message = 'an earlier change of this pool has not ended'
        return void done.push({
          action,
          atMs: clock.now(),
          kind: 'failed',
          code: 'ACTION_FAILED',
          message,
        })
      }
      const startedMs = clock.now()
      const acting =
        action.kind === 'shrink'
          ? shrink(shrinking(action), action, pool).then(ending => ({
              ...ending,
              tookMs: clock.now() - startedMs,
            }))
          : command(on.torchserve, action)
      flying.set(action.key, acting.catch(failure).then(end))
    },
    outcomes: () => done.splice(0),
    adopt(key, workers) {
      if (on.advise || adopted.has(key)) return
      adopted.add(key)
      for (const { pid } of workers) {
        if (pid === undefined || processes.look(pid) !== 'stopped') continue
        if (processes.isWorker(pid)) processes.signal(pid, 'SIGCONT')
      }
    },
    async settled() {
      await Promise.allSettled(flying.values())
    },
  }
}

async function command(torchserve: Actuated, { kind, pool, to }: Action): Promise<Ending> {
  if (kind === 'repair') await torchserve.scale(pool, 0)
  await torchserve.scale(pool, to)
  return { kind: 'commanded' }
}

function failure(error: unknown): Ending {
  const code: ErrorCode = error instanceof StokerError ? error.code : 'ACTION_FAILED'
  return { kind: 'failed', code, message: error instanceof Error ? error.message : String(error) }
}
