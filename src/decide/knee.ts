import { ratesOf, type Baseline, type Sample } from './demand.ts'
import { GPU_FULL, GPU_IDLE, meanOf, type Pulse } from './gpu/activity.ts'

/** A growth under observation: do the new workers bring throughput? */
export interface Trial {
  from: number
  to: number
  /** When the last new worker became ready. */
  readyMs: number
  /** What `from` workers did; absent where it is not known. */
  before: Baseline | undefined
  /** More than `from` were of no use before: now they have to prove that they are. */
  isRetry?: boolean
  /** The last growth alone, where the trial goes further back because earlier ones were not proven to be of use. */
  step?: Pick<Trial, 'from' | 'before'>
  /** What was read of the GPU since; nothing where its activity is not known. */
  pulses?: readonly Pulse[]
}

/** `unsure`: it looks useless, and what it is held against may be wrong. */
export type Verdict = 'measuring' | 'helps' | 'unsure' | 'useless'

/** A service time grown by less than this is no contention. */
const CONTENTION = 1.25
/** Of a proportional gain, the part that must be seen. */
const WORTHWHILE = 0.25
/** The same of workers that were of no use before. */
const PROVEN = 0.5
const LONGEST_MS = 30_000

/**
 * Judges a growth by the samples since. Workers whose service time stayed what it was run beside each other: they help. Where
 * it grew, only throughput under saturation tells; without saturation nothing speaks against them. Where a GPU's activity is known
 * it says how soon to believe that: one that was busy all the time, before and since, explains it; one that is idle does not.
 * `isLast`: no more workers can come by which it could be told better, so what is likelier is taken; a knee is tried again.
 */
export function judge(
  trial: Trial,
  samples: readonly Sample[],
  nowMs: number,
  isLast = false,
): Verdict {
  const after = ratesOf(samples.filter(sample => sample.atMs >= trial.readyMs))
  const before = trial.before
  const elapsed = nowMs - trial.readyMs
  if (!before) return 'helps'
  if (!after?.serviceMs || !after.sure || after.spanMs < 900 || after.answers < 10) {
    return elapsed < LONGEST_MS ? 'measuring' : 'helps'
  }
  const grown = after.serviceMs / before.serviceMs
  if (grown <= CONTENTION && !trial.isRetry) return 'helps'
  if (after.spanMs < 5_000) return 'measuring'
  if (!after.saturated) return 'helps'
  // What the old workers could serve at most, which is more than they did where the load had only just risen.
  const capacity = Math.max(before.throughput, (trial.from * 1000) / before.serviceMs)
  const part = trial.isRetry ? PROVEN : WORTHWHILE
  const worthwhile = 1 + (part * (trial.to - trial.from)) / trial.from
  const gained = after.throughput / capacity
  const activity = gpuActivity(trial)
  const isFull = before.gpuFull === true && (activity ?? 0) >= GPU_FULL
  if (isFull) return gained >= worthwhile ? 'helps' : 'useless'
  // Where medians of a few reports are all that is known, what looks like contention may be chance.
  const doubt = before.doubt * after.doubt
  const inTime = (verdict: Verdict) => (elapsed < LONGEST_MS ? 'measuring' : verdict)
  if (trial.isRetry || isLast) return inTime(gained >= worthwhile ? 'helps' : 'useless')
  if (grown <= CONTENTION * doubt) return inTime('unsure')
  // First requests are slow, and while they are the GPU is idle.
  const isIdle = (activity ?? 1) < GPU_IDLE
  if ((after.answers < 50 || isIdle) && elapsed < LONGEST_MS) return 'measuring'
  if (gained >= worthwhile) return gained >= worthwhile * doubt ? 'helps' : inTime('helps')
  return gained * doubt >= worthwhile ? inTime('unsure') : 'useless'
}

/**
 * The growth that was of no use, of a trial that goes further back: what is known for sure of the workers just before the last
 * growth tells that at once, and then the likelier is taken of the earlier ones.
 */
export function uselessStep(trial: Trial, samples: readonly Sample[], nowMs: number) {
  const { step, isRetry: _, ...whole } = trial
  if (!step || judge({ ...whole, ...step }, samples, nowMs) !== 'useless') return undefined
  return judge(trial, samples, Infinity, true) === 'useless' ? trial : { ...whole, ...step }
}

/** The mean of what was read since the new workers were ready; undefined: not known. */
export function gpuActivity({ pulses = [] }: Trial): number | undefined {
  return pulses.length === 0 ? undefined : meanOf(pulses.map(({ share }) => share))
}
