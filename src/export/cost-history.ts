import type { CostOutcome } from '../model.ts'
import { DECISIONS_MAX } from './log.ts'
import type { Tick } from './tick.ts'

/** One deletion cost that was to be written onto the pod. */
export interface WrittenCost {
  atMs: number
  /** What was known to stand there. */
  from: number | null
  to: number | null
  because: string
  /** Null while it is under way. */
  outcome: CostOutcome | null
}

export function createCostHistory() {
  const entries: WrittenCost[] = []
  return {
    record({ seen, deletionCost }: Tick): void {
      const last = entries.at(-1)
      if (seen.costed && last) last.outcome = seen.costed
      if (!deletionCost?.write) return
      const { atMs, because, cost: to, written: from } = deletionCost
      entries.push({ atMs, from, to, because, outcome: null })
      if (entries.length > DECISIONS_MAX) entries.shift()
    },
    /** Newest first. */
    list: () => entries.toReversed(),
  }
}
