import type { PoolPolicy } from '../config.ts'
import type { Decision, Observation, Outcome, PoolKey, PoolSeen } from '../model.ts'
import { learnGpus } from './gpu/learn.ts'
import { gpuViewOf, type GpuView } from './gpu/room.ts'
import { addSample, sampleOf } from './demand.ts'
import { newPool, type Memory, type PoolMemory } from './memory.ts'
import { rule } from './rules.ts'
import { size } from './sizing.ts'
import { inputsOf, type View } from './view.ts'
import { addToWindow, largest } from './window.ts'
import { takeCensus } from './workers.ts'

/** Between two workers that go, so that what the first one's absence does is seen. */
const BETWEEN_SHRINKS_MS = 5_000
const LONGEST_PAUSE_MS = 60_000
const AFTER_FAILURE_MS = 10_000
/** A description older than this is asked for again before a change; on GPUs TorchServe is asked only every 10 s. */
const FRESH_MS = 5_000
/** The hold window in load times: a worker that is missed comes back only after one. */
const HOLD_LOADS = 20

export interface Decided {
  decisions: readonly Decision[]
  memory: Memory
}

/**
 * What should change now, given what was seen. Same arguments, same answer; input that is stale or absent never takes a worker
 * away. Pools that are no longer seen are forgotten.
 */
export function decide(
  policyOf: (model: string) => PoolPolicy,
  memory: Memory,
  seen: Observation,
  nowMs: number,
): Decided {
  const gpu = learnGpus(memory.gpu, seen, nowMs)
  // What is decided for one pool is on its way when the next one is looked at: they share the GPUs.
  const pools = new Map(memory.pools)
  const rivals = { policyOf, memoryOf: (key: PoolKey) => pools.get(key), gpu }
  const decided = seen.pools.map(pool => {
    const before = memory.pools.get(pool.key) ?? newPool(nowMs)
    const outcomes = seen.outcomes.filter(outcome => outcome.action.key === pool.key)
    const settled = outcomes.reduce(settle, before)
    const reachable = seen.torchserve.state === 'fresh'
    const one = decidePool(
      policyOf(modelOf(pool)),
      reachable ? settled : unreachable(settled),
      { pool, gpu: gpuViewOf(pool.key, seen, rivals) },
      nowMs,
    )
    pools.set(pool.key, one.memory)
    return one
  })
  return {
    decisions: decided.flatMap(one => one.decision),
    memory: { pools: new Map(decided.map(one => [one.key, one.memory])), gpu },
  }
}

/** Whether some pool cannot wait for TorchServe's next regular description. */
export function wantsFreshLook(memory: Memory): boolean {
  return memory.pools.values().some(pool => pool.wantsFreshLook || pool.change !== undefined)
}

function modelOf({ description, key }: PoolSeen): string {
  return description.state === 'absent' ? key : description.value.id.model
}

function decidePool(
  policy: PoolPolicy,
  before: PoolMemory,
  { pool, gpu }: { pool: PoolSeen; gpu: GpuView | undefined },
  nowMs: number,
): { key: string; decision: Decision[]; memory: PoolMemory } {
  if (pool.description.state === 'absent') return { key: pool.key, decision: [], memory: before }
  const description = pool.description.value
  const memory = { ...takeIn(before, pool), onGpu: gpu !== undefined }
  const census = takeCensus(description, before.workers, nowMs)
  const needed = pool.counters.state === 'fresh' ? size(memory, description, policy) : undefined
  const holdMs = Math.max(policy.holdMs, HOLD_LOADS * (memory.loadMs ?? 0))
  const window = needed ? addToWindow(memory.window, nowMs, needed.safely, holdMs) : memory.window

  const view: View = {
    key: pool.key,
    nowMs,
    policy,
    description,
    fresh: pool.description.state === 'fresh' && nowMs - pool.description.atMs < FRESH_MS,
    counters: pool.counters,
    census,
    needed,
    held: largest(window),
    holdMs,
    listed: description.workers.length,
    waiting: description.pending ?? 0,
    gpu,
    memory: { ...memory, workers: census.tracks, window, wantsFreshLook: false },
  }
  const ruling = rule(view)
  const blind = ruling.action !== undefined && !view.fresh
  return {
    key: pool.key,
    decision: [
      {
        atMs: nowMs,
        key: pool.key,
        pool: description.id,
        inputs: inputsOf(view),
        ...(blind
          ? {
              reason: 'stale' as const,
              because: `Asking TorchServe again${staleWhy(pool)} before a change. ${ruling.because}`,
            }
          : { reason: ruling.reason, because: ruling.because }),
        ...(ruling.action && !blind ? { action: ruling.action } : {}),
      },
    ],
    memory: blind ? { ...view.memory, wantsFreshLook: true } : ruling.memory,
  }
}

function staleWhy(pool: PoolSeen): string {
  return pool.description.state === 'stale' ? ` (${pool.description.why})` : ''
}

/** Adds this tick's counters to the memory; without fresh ones nothing is added, and nothing is taken for zero. */
function takeIn(memory: PoolMemory, pool: PoolSeen): PoolMemory {
  if (pool.description.state === 'absent' || pool.counters.state !== 'fresh') return memory
  const { workers, pending, queueFree } = pool.description.value
  const sample = sampleOf(pool.counters.value, pool.counters.atMs, {
    pending: pending ?? 0,
    rejecting: workers.length === 0 || queueFree === 0,
    ready: workers.filter(worker => worker.ready).length,
  })
  return {
    ...memory,
    demand: addSample(memory.demand, sample),
    waitingTicks: (pending ?? 0) > 0 ? memory.waitingTicks + 1 : 0,
    requestsWithWorkers:
      workers.length > 0 ? sample.requests : (memory.requestsWithWorkers ?? sample.requests),
  }
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
