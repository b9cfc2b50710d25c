import type { Action, Decision, Inputs, Outcome, PoolKey, Reason } from '../model.ts'
import { reasons } from './reasons.ts'
import { identify } from './tick.ts'

export const DECISIONS_MAX = 200
const OUTCOMES_MAX = 8

/** A decision that changed something or whose reason was new; each repetition adds to `times`. */
export interface LoggedDecision {
  id: number
  atMs: number
  lastMs: number
  times: number
  key: PoolKey
  model: string
  version: string
  reason: Reason
  label: string
  because: string
  inputs: Inputs
  action: Action | null
  /** Oldest first; of the same kind in a row only the last. */
  outcomes: Outcome[]
}

export interface Log {
  add(decision: Decision, atMs: number): void
  /** Adds what became of an action to the decision that ordered it. */
  attach(outcome: Outcome, atMs: number): void
  /** Newest first; only those of pool `key` if given. */
  list(key?: string): LoggedDecision[]
  /** The decisions that are new, were repeated or had an outcome after `sinceMs`; newest first. */
  since(sinceMs: number): LoggedDecision[]
}

interface Entry {
  id: string
  decision: LoggedDecision
  touchedMs: number
}

export function createLog(): Log {
  const entries: Entry[] = []
  const latest = new Map<string, Entry>()
  let nextId = 1
  const newestFirst = (keep: (entry: Entry) => boolean) =>
    entries
      .filter(keep)
      .map(({ decision }) => decision)
      .toReversed()
  return {
    add(decision, atMs) {
      const id = identify(decision.pool)
      const last = latest.get(id)
      if (last && repeats(last.decision, decision)) {
        last.decision.times += 1
        last.decision.lastMs = decision.atMs
        last.touchedMs = atMs
        return
      }
      const entry = { id, decision: logged(nextId++, decision), touchedMs: atMs }
      latest.set(id, entry)
      entries.push(entry)
      if (entries.length <= DECISIONS_MAX) return
      const [dropped] = entries.splice(leastWorthKeeping(entries), 1)
      if (dropped && latest.get(dropped.id) === dropped) latest.delete(dropped.id)
    },
    attach(outcome, atMs) {
      const id = identify(outcome.action.pool)
      const entry = entries.findLast(
        one => one.id === id && sameAction(one.decision.action, outcome.action),
      )
      if (!entry) return
      const { outcomes } = entry.decision
      if (outcomes.at(-1)?.kind === outcome.kind) outcomes.pop()
      outcomes.push(outcome)
      if (outcomes.length > OUTCOMES_MAX) outcomes.shift()
      entry.touchedMs = atMs
    },
    list: key => newestFirst(({ decision }) => key === undefined || decision.key === key),
    since: sinceMs => newestFirst(({ touchedMs }) => touchedMs > sinceMs),
  }
}

function logged(id: number, decision: Decision): LoggedDecision {
  const { atMs, key, pool, reason, because, inputs, action = null } = decision
  const { label } = reasons[reason]
  const when = { atMs, lastMs: atMs, times: 1 }
  return { id, ...when, key, ...pool, reason, label, because, inputs, action, outcomes: [] }
}

function repeats(last: LoggedDecision, { reason, action }: Decision): boolean {
  return last.reason === reason && sameAction(last.action, action ?? null)
}

function sameAction(one: Action | null, other: Action | null): boolean {
  return one?.kind === other?.kind && one?.from === other?.from && one?.to === other?.to
}

/** Holds give way first while they are the larger part, so that a pool that wavers cannot push out every change. */
function leastWorthKeeping(entries: readonly Entry[]): number {
  const holds = entries.filter(({ decision }) => decision.action === null).length
  return holds > DECISIONS_MAX / 2 ? entries.findIndex(({ decision }) => !decision.action) : 0
}
