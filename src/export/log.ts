/** What was decided, one entry for each change and each new reason. */

export const DECISIONS_MAX = 200
const OUTCOMES_MAX = 8

/** A change of one kind from one state to another. */
interface Change {
  kind: string
  from: unknown
  to: unknown
}

interface Decided {
  atMs: number
  reason: string
  because: string
  inputs: object
  action?: Change
}

interface Ended {
  kind: string
  action: Change
}

/** A decision that changed something or whose reason was new; each repetition adds to `times`. */
export interface Logged<D extends Decided, O extends Ended> extends Pick<
  D,
  'atMs' | 'reason' | 'because' | 'inputs'
> {
  id: number
  lastMs: number
  times: number
  label: string
  action: NonNullable<D['action']> | null
  /** Oldest first; of the same kind in a row only the last. */
  outcomes: O[]
}

export interface Log<D, O, L> {
  /** `tickMs`: when the tick was that decided. */
  add(decision: D, tickMs: number): void
  /** Adds what became of an action to the decision that ordered it. */
  attach(outcome: O, tickMs: number): void
  /** Newest first. */
  list(): L[]
  /** The decisions that are new, were repeated or had an outcome after `sinceMs`; newest first. */
  since(sinceMs: number): L[]
}

interface Entry<L> {
  subject: string
  logged: L
  touchedMs: number
}

/** Decisions of one subject follow each other, and repeat only each other. */
export function createLog<D extends Decided, O extends Ended, L extends Logged<D, O>>(about: {
  decided(decision: D): string
  ended(outcome: O): string
  log(id: number, decision: D): L
}): Log<D, O, L> {
  const entries: Entry<L>[] = []
  const latest = new Map<string, Entry<L>>()
  let nextId = 1
  const newestFirst = (keep: (entry: Entry<L>) => boolean) =>
    entries
      .filter(keep)
      .map(({ logged }) => logged)
      .toReversed()
  return {
    add(decision, tickMs) {
      const subject = about.decided(decision)
      const last = latest.get(subject)
      if (last && repeats(last.logged, decision)) {
        last.logged.times += 1
        last.logged.lastMs = decision.atMs
        last.touchedMs = tickMs
        return
      }
      const entry = { subject, logged: about.log(nextId++, decision), touchedMs: tickMs }
      latest.set(subject, entry)
      entries.push(entry)
      if (entries.length <= DECISIONS_MAX) return
      const [dropped] = entries.splice(leastWorthKeeping(entries), 1)
      if (dropped && latest.get(dropped.subject) === dropped) latest.delete(dropped.subject)
    },
    attach(outcome, tickMs) {
      const subject = about.ended(outcome)
      const entry = entries.findLast(
        one => one.subject === subject && sameChange(one.logged.action, outcome.action),
      )
      if (!entry) return
      const { outcomes } = entry.logged
      if (outcomes.at(-1)?.kind === outcome.kind) outcomes.pop()
      outcomes.push(outcome)
      if (outcomes.length > OUTCOMES_MAX) outcomes.shift()
      entry.touchedMs = tickMs
    },
    list: () => newestFirst(() => true),
    since: sinceMs => newestFirst(({ touchedMs }) => touchedMs > sinceMs),
  }
}

function repeats(
  last: { reason: string; action: Change | null },
  { reason, action }: Decided,
): boolean {
  return last.reason === reason && sameChange(last.action, action ?? null)
}

function sameChange(one: Change | null, other: Change | null): boolean {
  const text = (change: Change | null) =>
    JSON.stringify(change && [change.kind, change.from, change.to])
  return text(one) === text(other)
}

/** Holds give way first while they are the larger part, so that a subject that wavers cannot push out every change. */
function leastWorthKeeping<L extends { action: unknown }>(entries: readonly Entry<L>[]): number {
  const isHold = ({ logged }: Entry<L>) => logged.action === null
  const holds = entries.filter(isHold).length
  return holds > DECISIONS_MAX / 2 ? entries.findIndex(isHold) : 0
}
