import type { Clock } from '../clock.ts'
import type { Decoy } from '../clients/decoy.ts'
import type { Processes } from '../clients/processes.ts'
import type { Action, Description, Ending, PoolId, Sureness, Worker } from '../model.ts'
import type { Listed } from './line.ts'
import { waitForEdge, waitForGap } from './quiet.ts'
import { retire } from './retire.ts'
import { stoppable, type OpenGuard } from './stopping.ts'

/** How long one attempt to take a worker away may last; growth waits for it. */
const SHRINK_MS = 5_000
/** The shortest pause in the arrivals that counts as a gap. */
const QUIET_MS = 150
const CHANGED = 'the list of workers changed meanwhile'

/** A pool's queue, and those who serve it. */
export interface Queue {
  /** Jobs waiting; undefined where TorchServe does not tell. */
  pending: number | undefined
  /** Worker ids in TorchServe's order. */
  workers: readonly string[]
}

/** What of TorchServe the actuator calls. */
export interface Actuated {
  scale(pool: PoolId, workers: number): Promise<void>
  queue(pool: PoolId): Promise<Queue>
  /** A text that changes with each arrival at the pool. */
  arrivals(pool: PoolId): Promise<string>
  sendDecoy(pool: PoolId): Promise<() => Decoy>
}

export interface PoolState {
  description: Description
  serviceMs: number | null
}

export interface Shrinking {
  torchserve: Actuated
  processes: Processes
  openGuard: OpenGuard
  clock: Clock
  mayDecoy: boolean
  /** The handler answered a decoy with an error. */
  disliked(): void
}

export type Shrunk =
  | Omit<Extract<Ending, { kind: 'removed' }>, 'tookMs'>
  | Omit<Extract<Ending, { kind: 'abandoned' }>, 'tookMs'>

/** Takes the last worker of the list away, in the surest way that what can be seen and signalled allows. */
export async function shrink(on: Shrinking, action: Action, pool: PoolState): Promise<Shrunk> {
  const { workers, batchSize } = pool.description
  const untilMs = on.clock.now() + SHRINK_MS
  if (!workers.at(-1)?.ready) return remove(on, action, 'never_served')
  const seen = asListed(on.processes, workers)
  const victim = seen.at(-1)
  if (!victim) return inAGap(on, action, pool, untilMs)
  const others = seen.slice(0, -1)
  // To describe a GPU's worker TorchServe runs nvidia-smi, and a worker that answers a decoy stands until it has run for all.
  const mayDecoy = on.mayDecoy && !workers.some(({ gpu }) => gpu)
  if (mayDecoy) return behindADecoy(on, action, { victim, others, untilMs })
  if (batchSize > 1) return inAGap(on, action, pool, untilMs)
  // Without requests there is no edge to wait for, and a gap at once.
  const quiet = await inAGap(on, action, pool, on.clock.now())
  if (quiet.kind === 'removed') return quiet
  const { clock, processes } = on
  // First the threads and then the list: whoever comes or goes after that is seen by the threads alone, which takes no time.
  const threads = () => String(processes.siblings(victim.id, victim.pid).toSorted())
  const before = threads()
  if (!isListed(pool, await on.torchserve.queue(action.pool))) return abandoned(CHANGED)
  const edge = await waitForEdge({ clock, processes, victim, others, untilMs })
  if (!edge) return abandoned('no worker turned idle behind two others')
  return threads() === before ? remove(on, action, 'edge') : abandoned(CHANGED)
}

async function behindADecoy(
  on: Shrinking,
  action: Action,
  line: { victim: Listed; others: readonly Listed[]; untilMs: number },
): Promise<Shrunk> {
  const { clock, processes, torchserve } = on
  const guard = await on.openGuard(line.victim.pid)
  try {
    const { victim, others } = line
    const listed = new Set([victim, ...others].map(({ id }) => id))
    const retired = await retire({
      ...line,
      unlisted: processes
        .siblings(victim.id, victim.pid)
        .flatMap(id => (listed.has(id) ? [] : [{ id }])),
      clock,
      processes,
      worker: stoppable(processes, guard, line.victim.pid),
      sendDecoy: await torchserve.sendDecoy(action.pool),
      pending: async () => (await torchserve.queue(action.pool)).pending ?? NaN,
      remove: () => torchserve.scale(action.pool, action.to),
    })
    if (retired.kind === 'abandoned') return retired
    if (retired.kind === 'removed') return { ...retired, sureness: 'retired' }
    on.disliked()
    return abandoned(`the handler answered a decoy with ${retired.status}`)
  } finally {
    guard.end()
  }
}

async function inAGap(
  on: Shrinking,
  action: Action,
  pool: PoolState,
  untilMs: number,
): Promise<Shrunk> {
  const { clock, torchserve } = on
  const { description, serviceMs } = pool
  // A batch is invisible while it is assembled, and in service for a whole service time after.
  const quietMs = Math.max(QUIET_MS, description.maxBatchDelayMs + 2 * (serviceMs ?? QUIET_MS))
  let hasChanged = false
  const found = await waitForGap({
    clock,
    arrivals: () => torchserve.arrivals(action.pool),
    async pending() {
      const queue = await torchserve.queue(action.pool)
      hasChanged ||= !isListed(pool, queue)
      return hasChanged ? NaN : (queue.pending ?? NaN)
    },
    quietMs,
    untilMs: untilMs + 2 * quietMs,
  })
  if (found) return remove(on, action, 'gap')
  return abandoned(hasChanged ? CHANGED : 'requests never paused for long enough')
}

/** Whether the list is still the one that was decided on: TorchServe is told how many stay, not who goes. */
function isListed({ description }: PoolState, { workers }: Queue): boolean {
  return String(workers) === String(description.workers.map(({ id }) => id))
}

async function remove(
  { torchserve }: Shrinking,
  action: Action,
  sureness: Sureness,
): Promise<Shrunk> {
  await torchserve.scale(action.pool, action.to)
  return { kind: 'removed', sureness, tries: 1, delayedMs: 0 }
}

function abandoned(why: string): Shrunk {
  return { kind: 'abandoned', why, tries: 1, delayedMs: 0 }
}

/** The workers with their processes, when every one of them can be seen; else none. */
function asListed(processes: Processes, workers: readonly Worker[]): Listed[] {
  const listed = workers.flatMap(({ id, pid }) => (pid === undefined ? [] : [{ id, pid }]))
  const visible = ({ id, pid }: Listed) =>
    processes.isWorker(pid) === true &&
    processes.look(pid) !== 'hidden' &&
    processes.thread(id, pid) !== undefined
  return listed.length === workers.length && listed.every(visible) ? listed : []
}
