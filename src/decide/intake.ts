/** What a pool's memory takes in before anything is decided: what it did, what became of actions, what its workers cost. */
import type { Description, Outcome, PoolSeen } from '../model.ts'
import { learnCost } from './cost.ts'
import { addSample, sampleOf, type Sample } from './demand.ts'
import type { PoolMemory } from './memory.ts'

/** Between two workers that go, so that what the first one's absence does is seen. */
const BETWEEN_SHRINKS_MS = 5_000
const LONGEST_PAUSE_MS = 60_000
const AFTER_FAILURE_MS = 10_000
/** A description and counters of one look are no further apart. */
const TOGETHER_MS = 2_000

export function takeIn(
  before: PoolMemory,
  pool: PoolSeen,
  { outcomes, reachable }: { outcomes: readonly Outcome[]; reachable: boolean },
  nowMs: number,
): PoolMemory {
  const settled = outcomes.reduce(settle, before)
  const memory = reachable ? settled : unreachable(settled)
  if (pool.description.state === 'absent') return memory
  const description = pool.description.value
  const { atMs } = pool.description
  const counted = count(memory, { ...description, atMs }, pool.counters)
  // It may have been before this agent came.
  const answered = (counted.demand.samples.at(-1)?.serviceUs ?? 0) > 0
  return { ...counted, cost: learnCost(memory.cost, description, answered, nowMs) }
}

/** Adds this tick's counters to the memory; without fresh ones nothing is added, and nothing is taken for zero. */
function count(
  memory: PoolMemory,
  { atMs, workers, pending = 0, queueFree }: Description & { atMs: number },
  counters: PoolSeen['counters'],
): PoolMemory {
  if (counters.state !== 'fresh') return memory
  const last = memory.demand.samples.at(-1)
  const arrived = last ? counters.value.requests - last.requests : 0
  const sample = sampleOf(counters.value, counters.atMs, {
    pending: counters.atMs - atMs < TOGETHER_MS ? pending : undefined,
    // The queue is seen once in a while: with less room than what arrives meanwhile it may have been full.
    rejecting: workers.length === 0 || (queueFree ?? Infinity) <= Math.max(0, arrived),
    ready: workers.filter(worker => worker.ready).length,
  })
  return {
    ...memory,
    demand: addSample(memory.demand, sample),
    waitingTicks: pending > 0 ? memory.waitingTicks + 1 : 0,
    requestsWithWorkers:
      workers.length > 0 ? sample.requests : servedBefore(memory.requestsWithWorkers, sample),
  }
}

/** What had arrived before the pool was at zero workers; a TorchServe that restarted there has served nothing. */
function servedBefore(known: number | undefined, { requests }: Sample): number {
  if (known === undefined) return requests
  return requests < known ? 0 : known
}

/** What became of the action in flight. */
function settle(memory: PoolMemory, outcome: Outcome): PoolMemory {
  const { action, atMs } = outcome
  switch (outcome.kind) {
    case 'commanded': {
      const change = memory.change && { ...memory.change, commanded: true }
      const watched = action.kind === 'grow' || action.kind === 'repair'
      return { ...memory, expected: action.to, change: watched ? change : undefined }
    }
    case 'removed':
      return {
        ...memory,
        change: undefined,
        expected: action.to,
        shrinksAbandoned: 0,
        noShrinkBeforeMs: atMs + BETWEEN_SHRINKS_MS,
      }
    case 'abandoned': {
      const pauseMs = Math.min(BETWEEN_SHRINKS_MS * 2 ** memory.shrinksAbandoned, LONGEST_PAUSE_MS)
      return {
        ...memory,
        change: undefined,
        shrinksAbandoned: memory.shrinksAbandoned + 1,
        noShrinkBeforeMs: atMs + pauseMs,
      }
    }
    case 'advised':
      return { ...memory, change: undefined }
    case 'failed':
      // Whether it took effect is unknown: what is found next is taken as it is.
      return {
        ...memory,
        change: undefined,
        expected: undefined,
        noActionBeforeMs: atMs + AFTER_FAILURE_MS,
      }
  }
}

/** TorchServe may come back as another process: what was expected of the old one is void, what was learned is not. */
function unreachable(memory: PoolMemory): PoolMemory {
  const change = memory.change?.commanded ? undefined : memory.change
  return { ...memory, change, expected: undefined, trial: undefined, workers: new Map() }
}
