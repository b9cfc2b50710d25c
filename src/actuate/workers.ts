import type { PoolPolicy } from '../config.ts'
import type { Clock } from '../clock.ts'
import type { Decoy } from '../clients/decoy.ts'
import type { Processes } from '../clients/processes.ts'
import { StokerError } from '../errors.ts'
import type {
  Action,
  Description,
  Ending,
  Outcome,
  PoolId,
  PoolKey,
  Sureness,
  Worker,
} from '../model.ts'
import type { Listed } from './line.ts'
import { waitForEdge, waitForGap } from './quiet.ts'
import { retire } from './retire.ts'
import { stoppable, type OpenGuard } from './stopping.ts'

/** How long one attempt to take a worker away may last; growth waits for it. */
const SHRINK_MS = 5_000
/** Answers to a decoy that were errors, after which a model's handler is left in peace. */
const DISLIKES = 2
const QUIET_MS = 150

/** What of TorchServe the actuator calls. */
export interface Actuated {
  scale(pool: PoolId, workers: number): Promise<void>
  /** Jobs waiting in the pool's queue; undefined where TorchServe does not tell. */
  pending(pool: PoolId): Promise<number | undefined>
  /** A text that changes with each arrival at the pool. */
  arrivals(pool: PoolId): Promise<string>
  sendDecoy(pool: PoolId): Promise<() => Decoy>
}

type Shrunk =
  | Omit<Extract<Ending, { kind: 'removed' }>, 'tookMs'>
  | Omit<Extract<Ending, { kind: 'abandoned' }>, 'tookMs'>

export interface WorkersActuator {
  /** Begins an action and returns; what became of it is in a later `outcomes()`. */
  start(action: Action, pool: PoolState): void
  /** What has become of actions since the last call. */
  outcomes(): Outcome[]
  /** Continues workers that were left stopped when an agent died; once per worker process. */
  adopt(key: PoolKey, workers: readonly Worker[]): void
  /** Resolves when nothing is in flight. */
  settled(): Promise<void>
}

interface PoolState {
  description: Description
  serviceMs: number | null
}

export function createWorkersActuator(on: {
  torchserve: Actuated
  processes: Processes
  openGuard: OpenGuard
  clock: Clock
  policyOf: (model: string) => PoolPolicy
  advise: boolean
}): WorkersActuator {
  const { clock, processes, torchserve } = on
  const done: Outcome[] = []
  const flying = new Map<PoolKey, Promise<void>>()
  const dislikes = new Map<PoolKey, number>()
  const adopted = new Set<PoolKey>()

  async function act(action: Action, pool: PoolState): Promise<Ending> {
    const startedMs = clock.now()
    switch (action.kind) {
      case 'grow':
      case 'rollback':
        await torchserve.scale(action.pool, action.to)
        return { kind: 'commanded' }
      case 'repair':
        await torchserve.scale(action.pool, 0)
        await torchserve.scale(action.pool, action.to)
        return { kind: 'commanded' }
      case 'shrink': {
        const ending = await shrink(action, pool)
        return { ...ending, tookMs: clock.now() - startedMs }
      }
    }
  }

  async function shrink(action: Action, { description, serviceMs }: PoolState): Promise<Shrunk> {
    const untilMs = clock.now() + SHRINK_MS
    const last = description.workers.at(-1)
    const remove = () => torchserve.scale(action.pool, action.to)
    const removed = (sureness: Sureness, tries = 1, delayedMs = 0) =>
      ({ kind: 'removed', sureness, tries, delayedMs }) as const
    const abandoned = (why: string) => ({ kind: 'abandoned', why, tries: 1, delayedMs: 0 }) as const
    if (!last?.ready) {
      await remove()
      return removed('never_served')
    }

    const seen = asListed(description.workers)
    const arrivals = () => torchserve.arrivals(action.pool)
    const victim = seen.at(-1)
    if (victim && mayBeRetired(action)) {
      const guard = await on.openGuard(victim.pid)
      try {
        const retired = await retire({
          clock,
          processes,
          victim,
          others: seen.slice(0, -1),
          worker: stoppable(processes, guard, victim.pid),
          sendDecoy: await torchserve.sendDecoy(action.pool),
          arrivals,
          pending: async () => (await torchserve.pending(action.pool)) ?? NaN,
          remove,
          untilMs,
        })
        if (retired.kind === 'removed') return removed('retired', retired.tries, retired.delayedMs)
        if (retired.kind === 'abandoned') return retired
        dislikes.set(action.key, (dislikes.get(action.key) ?? 0) + 1)
        return abandoned(`the handler answered a decoy with ${retired.status}`)
      } finally {
        guard.end()
      }
    }
    if (victim && description.batchSize <= 1) {
      const others = seen.slice(0, -1)
      if (await waitForEdge({ clock, processes, victim, others, untilMs })) {
        await remove()
        return removed('edge')
      }
    }
    // A batch is invisible while it is assembled, and in service for a whole service time after.
    const quietMs = Math.max(QUIET_MS, description.maxBatchDelayMs + 2 * (serviceMs ?? QUIET_MS))
    const pending = async () => (await torchserve.pending(action.pool)) ?? 0
    if (await waitForGap({ clock, arrivals, pending, quietMs, untilMs: untilMs + quietMs })) {
      await remove()
      return removed('gap')
    }
    return abandoned('requests never paused for long enough')
  }

  /** The workers with their processes, when every one of them can be seen; else none. */
  function asListed(workers: readonly Worker[]): Listed[] {
    const listed = workers.flatMap(({ id, pid }) => (pid === undefined ? [] : [{ id, pid }]))
    const visible = ({ id, pid }: Listed) =>
      processes.isWorker(pid) === true &&
      processes.look(pid) !== 'hidden' &&
      processes.thread(id, pid) !== undefined
    return listed.length === workers.length && listed.every(visible) ? listed : []
  }

  function mayBeRetired({ key, pool }: Action): boolean {
    const { decoys } = on.policyOf(pool.model)
    return decoys === 'on' || (decoys === 'auto' && (dislikes.get(key) ?? 0) < DISLIKES)
  }

  return {
    start(action, pool) {
      const end = (ending: Ending) => {
        done.push({ action, atMs: clock.now(), ...ending })
        flying.delete(action.key)
      }
      if (on.advise) return end({ kind: 'advised' })
      const running = act(action, pool).then(end, (error: unknown) => {
        const code = error instanceof StokerError ? error.code : 'ACTION_FAILED'
        end({
          kind: 'failed',
          code,
          message: error instanceof Error ? error.message : String(error),
        })
      })
      flying.set(action.key, running)
    },
    outcomes: () => done.splice(0),
    adopt(key, workers) {
      if (adopted.has(key)) return
      adopted.add(key)
      for (const { pid } of workers) {
        if (pid !== undefined && processes.look(pid) === 'stopped' && processes.isWorker(pid))
          processes.signal(pid, 'SIGCONT')
      }
    },
    async settled() {
      await Promise.allSettled(flying.values())
    },
  }
}
