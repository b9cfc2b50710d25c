/** The memory of the pod as a whole: what workers may take of it, and whether it should change. */
import type { MemoryPolicy } from '../config.ts'
import type { MemoryInputs, Observation, PodSeen, ResizeDecision, ResizeReason } from '../model.ts'
import { firstOf, requestOf, type First } from './bound.ts'
import { Ledger, MARGIN, withoutMargin, type Account, type Books } from './ledger.ts'
import { active, learnLimit, type Limit } from './limits.ts'
import { amountsFor, distanceIn } from './resize/amounts.ts'
import { unfitness } from './resize/kubelet.ts'
import { find } from './resize/found.ts'
import { noResize, type ResizeMemory } from './resize/ruling.ts'
import { ruleResize } from './resize/rules.ts'
import { settleResize } from './resize/settle.ts'
import { addToWindow, emptyWindow, largest, type MaxWindow } from './window.ts'
import { inMib, unended } from './words.ts'

/** TorchServe's own need is the most it had within this time: its heap and its caches come and go. */
const BASE_WINDOW_MS = 10 * 60_000
/** An API server that is away for longer may stay so: no memory is counted on that it would have to grant. */
const AWAY_MS = 10 * 60_000
const LARGEST_MARGIN = 0.4
const WITHOUT_CAP =
  'No cap is set (STOKER_MAX_MEMORY), so the memory stays as it is and workers scale within it.'

export interface PodMemory {
  resize: ResizeMemory
  /** What TorchServe was seen to hold beside its workers; bytes. */
  base: MaxWindow
  /** The same at the last look alone. */
  lastBase: number | undefined
  /** Pools that were not described then: their workers count as TorchServe's. */
  hidden: number
  /** The same by what the pod asks for, where its cgroup cannot be seen. */
  declaredBase: number | undefined
  /** What the container had when its workers served and nothing told what one needs. */
  first: First | undefined
  /** Kills for want of memory so far, and the margin they taught. */
  kills: number | undefined
  margin: Limit | undefined
}

export const newPod: PodMemory = {
  resize: noResize,
  base: emptyWindow,
  lastBase: undefined,
  hidden: 0,
  declaredBase: undefined,
  first: undefined,
  kills: undefined,
  margin: undefined,
}

/** What is listed of one pool, for the accounts. */
export interface PoolUse extends Account {
  /** Bytes that its workers hold now: what one needs for those not seen yet; undefined while that is not known either. */
  used: number | undefined
  /** What one needs that serves is known. */
  isSure: boolean
}

/** Takes in what was seen of the pod since the last tick. */
export function takeInPod(
  before: PodMemory,
  seen: Pick<Observation, 'pod' | 'pools' | 'resized' | 'torchserve'>,
  pools: readonly PoolUse[],
  policy: MemoryPolicy,
  nowMs: number,
): PodMemory {
  const { pod, resized, torchserve } = seen
  const settled = resized ? settleResize(before.resize, resized) : before.resize
  const resize = find(settled, pod, policy, nowMs)
  const first = firstOf(before.first, pod, torchserve, pools)
  const memory = learnMargin({ ...before, first, resize }, pod, nowMs)
  if (pod.memory.state === 'fresh') {
    // A TorchServe that is only starting holds little, and one whose workers are not seen all of them.
    if (torchserve.state !== 'fresh' || pools.some(pool => pool.used === undefined)) return memory
    const hidden = seen.pools.length - pools.length
    // What was taken for TorchServe's own is a pool's, and would be counted twice.
    const known =
      hidden < memory.hidden ? { ...memory, base: emptyWindow, lastBase: undefined } : memory
    const used = pools.reduce((sum, pool) => sum + (pool.used ?? 0), 0)
    const base = Math.max(0, pod.memory.value.workingBytes - used)
    // A worker that is just dying, or pages that go while they are counted, are there for one look only.
    const lasting = Math.min(base, known.lastBase ?? base)
    return {
      ...known,
      base: addToWindow(known.base, nowMs, lasting, BASE_WINDOW_MS),
      lastBase: base,
      hidden,
    }
  }
  if (memory.declaredBase !== undefined || pod.state.state !== 'fresh') return memory
  const has = first?.requestBytes ?? requestOf(pod.state.value)
  const workersOf = (use: PoolUse) => (first ? (first.workers.get(use.key) ?? 0) : use.workers)
  const isUnknown = (use: PoolUse) =>
    use.cost === undefined && Math.max(use.workers, workersOf(use)) > 0
  if (has === undefined || pools.some(isUnknown)) return memory
  const workers = pools.reduce((sum, pool) => sum + workersOf(pool) * (pool.cost ?? 0), 0)
  return { ...memory, declaredBase: Math.max(0, withoutMargin(has, MARGIN) - workers) }
}

/** A process that was killed for want of memory needed more than it was seen to. */
function learnMargin(memory: PodMemory, { memory: cgroup }: PodSeen, nowMs: number): PodMemory {
  if (cgroup.state !== 'fresh') return memory
  const { oomKills } = cgroup.value
  // A container that started anew begins at 0.
  if (memory.kills === undefined || oomKills <= memory.kills) return { ...memory, kills: oomKills }
  const share = Math.min(2 * (active(memory.margin, nowMs)?.at ?? MARGIN), LARGEST_MARGIN)
  const why = 'a process was killed for want of memory'
  return { ...memory, kills: oomKills, margin: learnLimit(memory.margin, share, why, nowMs) }
}

export function openLedger(
  memory: PodMemory,
  pod: PodSeen,
  pools: readonly Account[],
  policy: MemoryPolicy,
  nowMs: number,
): Ledger {
  return new Ledger(booksOf(memory, pod, policy, nowMs), pools)
}

function booksOf(memory: PodMemory, pod: PodSeen, policy: MemoryPolicy, nowMs: number): Books {
  const { first } = memory
  const base = largest(memory.base) ?? memory.declaredBase
  const margin = active(memory.margin, nowMs)?.at ?? MARGIN
  const granted = keptBytes(memory, pod, policy)
  const cap = capOf(memory, pod, policy)
  const ceiling = active(memory.resize.ceiling, nowMs)
  const feasible = Math.max(Math.min(cap, ceiling?.at ?? Infinity), granted ?? 0)
  const trouble = whyNotMore(memory, pod, policy, nowMs)
  // A refusal that may be tried again still stands: were it forgotten, pods would go, and their load would only meet it again.
  const isBarred = trouble?.lasts || memory.resize.off !== undefined
  const refusedAt = isBarred ? 0 : (memory.resize.ceiling?.at ?? Infinity)
  const lasting = Math.max(Math.min(cap, refusedAt), granted ?? 0)
  if (memory.resize.suspect) {
    const because = 'the pod may have kept an older limit, which is being set right'
    return { base, first, margin, granted: 0, most: 0, lasting, because }
  }
  const isRefused = ceiling !== undefined && ceiling.at < cap
  const ofThem = isRefused ? `more was refused: ${ceiling.why}` : `the cap is ${inMib(cap)}`
  const has = granted === undefined ? '' : `the container has ${inMib(granted)}; `
  const because = `${has}${trouble?.text ?? ofThem}`
  const most = trouble ? (granted ?? 0) : feasible
  return { base, first, margin, granted, most, lasting, because }
}

/** The most that may be asked for: a Burstable container's request stays a little below its limit. */
function capOf({ resize }: PodMemory, { state }: PodSeen, policy: MemoryPolicy): number {
  const { maxMemory = 0 } = policy
  if (state.state === 'absent') return maxMemory
  const distance = resize.distance ?? distanceIn(state.value.container.desired)
  return amountsFor(state.value, maxMemory, policy, distance).requestBytes ?? maxMemory
}

/** What may be used: the limit, and what the node has set aside where that can be changed. */
function grantedBytes({ memory, state }: PodSeen, policy: MemoryPolicy): number | undefined {
  const container = state.state === 'absent' ? undefined : state.value.container
  const limit =
    memory.state === 'fresh'
      ? (memory.value.limitBytes ?? Infinity)
      : container
        ? ((container.actual ?? container.desired).limitBytes ?? Infinity)
        : policy.inPod
          ? undefined
          : Infinity
  if (limit === undefined || policy.maxMemory === undefined) return limit
  // The pod's own limit may be the older one, where the kubelet has still to act or left it behind.
  const pod = state.state === 'absent' ? Infinity : (state.value.podLimitBytes ?? Infinity)
  return Math.min(limit, pod, container?.allocatedRequestBytes ?? Infinity)
}

/** What of it stays: a lower wish may be carried out at any time, ours even before it can be seen. */
function keptBytes({ resize }: PodMemory, pod: PodSeen, policy: MemoryPolicy): number | undefined {
  const granted = grantedBytes(pod, policy)
  const desired = pod.state.state === 'absent' ? [] : [pod.state.value.container.desired]
  return [...desired, ...(resize.ordered ? [resize.ordered.action.to] : [])].reduce(
    (least, { limitBytes = Infinity, requestBytes = Infinity }) =>
      least &&
      Math.min(least, limitBytes, policy.maxMemory === undefined ? Infinity : requestBytes),
    granted,
  )
}

/** Why no more memory can be asked for at all, as the end of a sentence, and whether that is more than a moment's trouble. */
function whyNotMore(
  { resize }: PodMemory,
  { state }: PodSeen,
  policy: MemoryPolicy,
  nowMs: number,
): { text: string; lasts: boolean } | undefined {
  const always = (text: string) => ({ text, lasts: true })
  if (policy.maxMemory === undefined)
    return always('no cap is set (STOKER_MAX_MEMORY), so it stays')
  if (state.state === 'absent') return always(`more cannot be asked for: ${unended(state.why)}`)
  const standing = state.value.peers.find(({ wroteAtMs }) => wroteAtMs === undefined)
  if (standing) return always(`${standing.name} sets the memory of this pod`)
  const peer = resize.peer && nowMs < resize.peer.untilMs
  if (peer) return always('somebody else has just set its memory')
  const off = active(resize.off, nowMs)
  if (off) return always(off.why)
  if (state.state === 'fresh') return unfitness(state.value)
  const text = `more cannot be asked for: ${unended(state.why)}`
  return { text, lasts: nowMs - state.atMs > AWAY_MS }
}

/**
 * Whether the pod's memory should change; undefined where nothing is known of it and no cap is set. `sure`: what the workers need
 * once they serve is known.
 */
export function decidePod(
  memory: PodMemory,
  { memory: cgroup, state }: PodSeen,
  { ledger, sure }: { ledger: Ledger; sure: boolean },
  policy: MemoryPolicy,
  nowMs: number,
): { decision: ResizeDecision | undefined; memory: PodMemory } {
  const inputs = inputsOf(memory, { memory: cgroup, state }, ledger, policy, nowMs)
  const hold = (reason: ResizeReason, because: string) => ({
    decision: { atMs: nowMs, reason, because, inputs },
    memory,
  })
  if (policy.maxMemory === undefined) {
    const isKnown = state.state !== 'absent' || cgroup.state !== 'absent'
    return isKnown ? hold('unsupported', WITHOUT_CAP) : { decision: undefined, memory }
  }
  if (state.state !== 'fresh') {
    return hold('memory_stale', `The pod cannot be read: ${unended(state.why)}.`)
  }
  const { memory: resize, ...ruling } = ruleResize({
    nowMs,
    policy,
    pod: state.value,
    readAtMs: state.atMs,
    cgroup,
    wanted: ledger.wanted,
    need: ledger.need,
    sure,
    memory: memory.resize,
  })
  return { decision: { atMs: nowMs, inputs, ...ruling }, memory: { ...memory, resize } }
}

function inputsOf(
  memory: PodMemory,
  pod: PodSeen,
  ledger: Ledger,
  policy: MemoryPolicy,
  nowMs: number,
): MemoryInputs {
  const { base, declaredBase, resize } = memory
  const container = pod.state.state === 'fresh' ? pod.state.value.container : undefined
  const cgroup = pod.memory.state === 'fresh' ? pod.memory.value : undefined
  const granted = keptBytes(memory, pod, policy)
  return {
    need: ledger.need ?? null,
    wanted: ledger.wanted ?? null,
    base: largest(base) ?? declaredBase ?? null,
    usage: cgroup?.usageBytes ?? null,
    working: cgroup?.workingBytes ?? null,
    granted: granted === undefined || granted === Infinity ? null : granted,
    desired: container?.desired ?? null,
    actual: container?.actual ?? null,
    cap: policy.maxMemory ?? null,
    ceiling: active(resize.ceiling, nowMs)?.at ?? null,
  }
}
