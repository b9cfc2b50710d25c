import type { Action, Decision, Drained, Inputs, Note, Outcome, PoolKey, Reason } from '../model.ts'
import { createCostHistory, type WrittenCost } from './cost-history.ts'
import { gpusOf, type GpusNow } from './gpus.ts'
import { createLog, type Logged } from './log.ts'
import { createMemoryHistory, type LoggedResize, type MemoryState } from './memory-history.ts'
import { reasons } from './reasons.ts'
import { identify, poolsOf } from './tick.ts'
import type { PoolNow, Tick } from './tick.ts'

/** A quarter of an hour at the default pace of one tick a second. */
export const POINTS_MAX = 900
export const POOLS_MAX = 64

/** What a pool was at one tick; null: not known then. */
export type Point = readonly [
  atMs: number,
  arrivalsPerSecond: number | null,
  waiting: number | null,
  ready: number | null,
  loading: number | null,
  dead: number | null,
  wanted: number | null,
  usable: number | null,
  serviceMs: number | null,
]

export interface LoggedDecision extends Logged<Decision, Outcome> {
  key: PoolKey
  model: string
  version: string
}

/** A pool as the page draws it. */
export interface PoolState {
  id: string
  key: PoolKey
  model: string
  version: string
  reason: Reason
  label: string
  because: string
  action: Action | null
  inputs: Inputs
  /** Whether the worker counts are those of now. */
  fresh: boolean
  arrivalsPerSecond: number | null
  waiting: number | null
  wanted: number | null
  points: readonly Point[]
}

/** The reply of `/state?since=`: everything as of the last tick, points and decisions only those after `since`. */
export interface State {
  agent: { version: string; mode: 'act' | 'advise'; startedAtMs: number; tickMs: number }
  nowMs: number
  /** Send it as `since` next time; null before the first tick. */
  tickAtMs: number | null
  torchserve: { state: 'fresh' | 'stale' | 'absent'; url: string | null; why: string | null }
  notes: readonly Note[]
  /** Null where nobody wants the pod drained. */
  drain: Drained | null
  /** Null where no model runs on a GPU. */
  gpus: GpusNow | null
  pools: readonly PoolState[]
  /** How many pools are served beyond the number kept. */
  poolsLeftOut: number
  decisions: readonly LoggedDecision[]
  /** Null where nothing is known of it. */
  memory: MemoryState | null
  resizes: readonly LoggedResize[]
}

export interface History {
  record(tick: Tick): void
  state(sinceMs: number): Omit<State, 'agent' | 'nowMs'>
  /** Newest first; only those of pool `key` if given. */
  decisions(key?: string): LoggedDecision[]
  /** What was decided about the pod's memory, newest first. */
  resizes(): LoggedResize[]
  /** The deletion costs that were to be written, newest first. */
  deletionCosts(): WrittenCost[]
  /** Every pool that is served or has a decision in the log. */
  keys(): Set<PoolKey>
}

export function createHistory(): History {
  const log = createLog<Decision, Outcome, LoggedDecision>({
    decided: ({ pool }) => identify(pool),
    ended: ({ action }) => identify(action.pool),
    log: logged,
  })
  const memory = createMemoryHistory(POINTS_MAX)
  const costs = createCostHistory()
  const points = new Map<string, Point[]>()
  let tick: Tick | undefined
  let pools: PoolNow[] = []
  return {
    record(next) {
      tick = next
      const { atMs, outcomes } = next.seen
      pools = [...poolsOf(next), ...unreadable(next, pools)].slice(0, POOLS_MAX)
      const kept = new Set(pools.map(pool => pool.id))
      for (const id of points.keys()) if (!kept.has(id)) points.delete(id)
      for (const pool of pools) {
        const line = points.get(pool.id) ?? []
        points.set(pool.id, line)
        line.push(pointOf(pool, atMs))
        if (line.length > POINTS_MAX) line.shift()
      }
      for (const outcome of outcomes) log.attach(outcome, atMs)
      for (const decision of next.decisions) log.add(decision, atMs)
      memory.record(next)
      costs.record(next)
    },
    state: sinceMs => ({
      tickAtMs: tick?.seen.atMs ?? null,
      torchserve: torchserveOf(tick),
      notes: tick?.seen.notes ?? [],
      drain: tick?.drain ?? null,
      gpus: gpusOf(tick),
      pools: pools.map(pool => stateOf(pool, after(points.get(pool.id) ?? [], sinceMs))),
      poolsLeftOut: Math.max(0, (tick?.decisions.length ?? 0) - pools.length),
      decisions: log.since(sinceMs),
      memory: memory.state(sinceMs),
      resizes: memory.since(sinceMs),
    }),
    decisions: key => log.list().filter(each => key === undefined || each.key === key),
    resizes: () => memory.since(-Infinity),
    deletionCosts: costs.list,
    keys: () => new Set([...pools.map(pool => pool.decision.key), ...log.list().map(d => d.key)]),
  }
}

/** Pools that are listed, but known too little for a decision: their last one, without its numbers. */
function unreadable({ seen, decisions }: Tick, before: readonly PoolNow[]): PoolNow[] {
  const decided = new Set(decisions.map(({ pool }) => identify(pool)))
  return before.flatMap(pool => {
    const description = seen.pools.find(({ key }) => key === pool.decision.key)?.description
    if (!description || decided.has(pool.id)) return []
    const why = description.state === 'fresh' ? 'it was passed over' : description.why
    const because = `Nothing is decided: ${why}`
    const { action: _, ...last } = pool.decision
    const unknown = { arrivalsPerSecond: null, waiting: null, workers: null, wanted: null }
    return { ...pool, ...unknown, fresh: false, decision: { ...last, reason: 'stale', because } }
  })
}

function after(points: readonly Point[], sinceMs: number): readonly Point[] {
  return points.slice(points.findLastIndex(([atMs]) => atMs <= sinceMs) + 1)
}

function pointOf(pool: PoolNow, atMs: number): Point {
  const { ready = null, loading = null, dead = null } = pool.workers ?? {}
  const { arrivalsPerSecond, waiting, wanted } = pool
  const { serviceMs, usable } = pool.decision.inputs
  return [atMs, arrivalsPerSecond, waiting, ready, loading, dead, wanted, usable, serviceMs]
}

function stateOf(now: PoolNow, since: readonly Point[]): PoolState {
  const { id, fresh, arrivalsPerSecond, waiting, wanted } = now
  const { key, pool, reason, because, inputs, action = null } = now.decision
  const { label } = reasons[reason]
  const numbers = { fresh, arrivalsPerSecond, waiting, wanted }
  return { id, key, ...pool, reason, label, because, action, inputs, ...numbers, points: since }
}

function logged(id: number, decision: Decision): LoggedDecision {
  const { atMs, key, pool, reason, because, inputs, action = null } = decision
  const { label } = reasons[reason]
  const when = { atMs, lastMs: atMs, times: 1 }
  return { id, ...when, key, ...pool, reason, label, because, inputs, action, outcomes: [] }
}

function torchserveOf(tick: Tick | undefined): State['torchserve'] {
  const seen = tick?.seen.torchserve ?? { state: 'absent', why: 'Not looked yet.' }
  return {
    state: seen.state,
    url: seen.state === 'absent' ? null : seen.value.url,
    why: seen.state === 'fresh' ? null : seen.why,
  }
}
