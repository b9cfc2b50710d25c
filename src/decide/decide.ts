import type { MemoryPolicy, PoolPolicy } from '../config.ts'
import type {
  CostDecision,
  Decision,
  Drained,
  DrainRequest,
  Observation,
  PoolKey,
  PoolSeen,
  ResizeDecision,
} from '../model.ts'
import { costOf, isSure } from './cost.ts'
import { decideCost } from './deletion.ts'
import { drain, whileDraining } from './drain.ts'
import { seenOnGpu } from './gpu/device.ts'
import { learnGpus } from './gpu/learn.ts'
import { gpuViewOf, type GpuView } from './gpu/room.ts'
import { takeIn } from './intake.ts'
import type { Ledger } from './ledger.ts'
import { newPool, type Memory, type PoolMemory } from './memory.ts'
import { decidePod, openLedger, takeInPod, type PoolUse } from './pod.ts'
import { podDemand } from './pods.ts'
import { refusalOf } from './refusals.ts'
import { rule } from './rules.ts'
import { hold, lessened, type Ruling } from './ruling.ts'
import { size } from './sizing.ts'
import { inputsOf, type View } from './view.ts'
import { addToWindow, largest } from './window.ts'
import { count, inMib } from './words.ts'
import { takeCensus } from './workers.ts'

/** A description older than this is asked for again before a change; on GPUs TorchServe is asked only every 10 s. */
const FRESH_MS = 5_000
/** The hold window in load times: a worker that is missed comes back only after one. */
const HOLD_LOADS = 20

export interface Decided {
  decisions: readonly Decision[]
  /** What should become of the pod's memory; undefined where nothing is known of it. */
  resize: ResizeDecision | undefined
  /** The load in pods such as this one; undefined: not known. */
  podDemand: number | undefined
  /** Undefined: nobody wants the pod drained. */
  drain: Drained | undefined
  /** Undefined: nobody wants it written. */
  deletionCost: CostDecision | undefined
  memory: Memory
}

/** What the user set. */
export interface Policies {
  pool(model: string): PoolPolicy
  memory: MemoryPolicy
  /** Whether the pod's deletion cost is to be written. */
  deletionCost: boolean
  /** Whether what is decided is done, and not only advised. */
  acts: boolean
}

/**
 * What should change now, given what was seen. Same arguments, same answer; input that is stale or absent never takes a worker
 * away. Pools that are no longer seen are forgotten.
 */
export function decide(
  policies: Policies,
  memory: Memory,
  seen: Observation,
  nowMs: number,
): Decided {
  const pools = seen.pools.map(pool => {
    const before = memory.pools.get(pool.key) ?? newPool(nowMs)
    const outcomes = seen.outcomes.filter(outcome => outcome.action.key === pool.key)
    const reachable = seen.torchserve.state === 'fresh'
    return { pool, memory: takeIn(before, pool, { outcomes, reachable }, nowMs) }
  })
  const uses = pools.flatMap(pool => useOf(policies, pool))
  const pod = takeInPod(memory.pod, seen, uses, policies.memory, nowMs)
  const ledger = openLedger(pod, seen.pod, uses, policies.memory, nowMs)
  const gpu = learnGpus(memory.gpu, seen, nowMs)
  // What is decided for one pool is on its way when the next one is looked at: they share the GPUs.
  const latest = new Map(pools.map(one => [one.pool.key, one.memory]))
  const rivals = { policies, memoryOf: (key: PoolKey) => latest.get(key), gpu }
  const decided = pools.map(one => {
    const { key } = one.pool
    const beside = { ledger, gpu: gpuViewOf(key, seen, rivals), drain: seen.drain }
    const now = decidePool(policies, one, beside, nowMs)
    latest.set(key, now.memory)
    return now
  })
  const views = decided.flatMap(one => one.view ?? [])
  const isSeen = seen.torchserve.state === 'fresh' && uses.length === pools.length
  const sure = isSeen && uses.every(use => use.isSure)
  const resized = decidePod(pod, seen.pod, { ledger, sure }, policies.memory, nowMs)
  const cost = policies.deletionCost
    ? decideCost(memory.deletionCost, seen, views, nowMs)
    : undefined
  return {
    decisions: decided.flatMap(one => one.decision),
    resize: resized.decision,
    podDemand: podDemand(views, pools.length, ledger),
    drain: drain(seen, views, nowMs),
    deletionCost: cost?.decision,
    memory: {
      pools: new Map(decided.map(one => [one.key, one.memory])),
      pod: resized.memory,
      urgent: new Set(decided.flatMap(one => one.urgent)),
      gpu,
      deletionCost: cost?.memory ?? memory.deletionCost,
    },
  }
}

/** Whether a resize is under way, which shows in the pod. */
export function watchesPod({ pod }: Memory): boolean {
  return pod.resize.ordered !== undefined
}

/** A pool with what its memory has taken in. */
interface Taken {
  pool: PoolSeen
  memory: PoolMemory
}

/** What a pool's workers hold and cost, once it was described. */
function useOf(policies: Policies, { pool, memory }: Taken): PoolUse[] {
  if (pool.description.state === 'absent') return []
  const { id, workers } = pool.description.value
  const policy = policies.pool(id.model)
  const isScaled = refusalOf({ policy, description: pool.description.value, memory }) === undefined
  const cost = costOf(memory.cost, policy)
  const held = workers.map(({ use }) => use?.bytes ?? cost)
  const ordered = memory.change?.action.kind === 'grow' ? memory.change.action.to : 0
  return [
    {
      key: pool.key,
      cost,
      workers: Math.max(workers.length, ordered),
      kept: isScaled ? policy.minWorkers : workers.length,
      isSure: workers.length === 0 || isSure(memory.cost, policy),
      used: held.includes(undefined)
        ? undefined
        : held.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0),
    },
  ]
}

/** What a pool is decided beside. */
interface Beside {
  gpu: GpuView | undefined
  ledger: Ledger
  drain: DrainRequest | undefined
}

function decidePool(
  policies: Policies,
  { pool, memory }: Taken,
  { drain: asked, gpu, ledger }: Beside,
  nowMs: number,
): { key: string; decision: Decision[]; view?: View; memory: PoolMemory; urgent: string[] } {
  if (pool.description.state === 'absent') {
    return { key: pool.key, decision: [], memory, urgent: [] }
  }
  const known = { ...memory, onGpu: seenOnGpu(pool, memory) }
  const view = {
    ...viewOf(policies, pool, pool.description, { memory: known, ledger }, nowMs),
    gpu,
  }
  const ruled = rule(view)
  const ruling = whileDraining(view, confirmed(view, ruled, pool, ledger), asked)
  const isBlind = ruled.action !== undefined && !view.fresh
  return {
    key: pool.key,
    view,
    decision: [
      {
        atMs: nowMs,
        key: pool.key,
        pool: view.description.id,
        inputs: inputsOf(view),
        reason: ruling.reason,
        because: ruling.because,
        ...(ruling.action ? { action: ruling.action } : {}),
      },
    ],
    memory: ruling.memory,
    // On GPUs TorchServe is asked only every 10 s, which is too seldom to see a queue empty.
    urgent: isBlind || ruling.memory.change || asked ? [view.description.id.model] : [],
  }
}

function viewOf(
  policies: Policies,
  pool: PoolSeen,
  seen: Exclude<PoolSeen['description'], { state: 'absent' }>,
  { memory, ledger }: { memory: PoolMemory; ledger: Ledger },
  nowMs: number,
): Omit<View, 'gpu'> {
  const description = seen.value
  const policy = policies.pool(description.id.model)
  const census = takeCensus(description, memory.workers, nowMs)
  const needed = pool.counters.state === 'fresh' ? size(memory, description, policy) : undefined
  const holdMs = Math.max(policy.holdMs, HOLD_LOADS * (memory.loading.aloneMs ?? 0))
  const window = needed ? addToWindow(memory.window, nowMs, needed.safely, holdMs) : memory.window
  return {
    key: pool.key,
    nowMs,
    acts: policies.acts,
    policy,
    description,
    fresh: seen.state === 'fresh' && nowMs - seen.atMs < FRESH_MS,
    counters: pool.counters,
    census,
    needed,
    held: largest(window),
    holdMs,
    listed: description.workers.length,
    waiting: description.pending ?? 0,
    workerBytes: ledger.cost(pool.key),
    memoryMost: ledger.most(pool.key),
    memory: { ...memory, workers: census.tracks, window },
  }
}

/** A change needs a fresh description, and growth needs memory. */
function confirmed(view: View, ruling: Ruling, pool: PoolSeen, ledger: Ledger): Ruling {
  if (!ruling.action) return ruling
  if (!view.fresh) {
    const why = pool.description.state === 'stale' ? ` (${pool.description.why})` : ''
    const because = `Asking TorchServe again${why} before a change. ${ruling.because}`
    return hold(view, 'stale', because)
  }
  if (ruling.action.kind !== 'grow') return ruling
  const admission = ledger.admit(view.key, ruling.action.to)
  switch (admission.kind) {
    case 'granted':
      return lessened(ruling, admission.to)
    case 'asked': {
      const how = ledger.isBound(view.key) ? ', by the most that one can need' : ''
      const because = `${ruling.because} First the memory for ${count(admission.to)}: ${inMib(admission.bytes)} in all${how}.`
      return hold(view, 'memory', because)
    }
    case 'refused':
      return hold(view, 'at_memory', `${ruling.because} But ${admission.why}.`)
  }
}
