/** An amount (of workers, of bytes) up to which, or down to which, it was learned to go, and for how long; each repetition doubles the time. */
export interface Limit {
  at: number
  untilMs: number
  lastsMs: number
  /** The end of a sentence, without its full stop. */
  why: string
}

const FIRST_MS = 10 * 60_000
const LONGEST_MS = 2 * 60 * 60_000

/** Learns a limit; within twice the time of the last one it counts as a repetition. */
export function learnLimit(
  previous: Limit | undefined,
  at: number,
  why: string,
  nowMs: number,
): Limit {
  const repeated = previous !== undefined && nowMs - previous.untilMs < previous.lastsMs
  const lastsMs = repeated ? Math.min(previous.lastsMs * 2, LONGEST_MS) : FIRST_MS
  return { at, why, lastsMs, untilMs: nowMs + lastsMs }
}

export function active(limit: Limit | undefined, nowMs: number): Limit | undefined {
  return limit && nowMs < limit.untilMs ? limit : undefined
}
