/** What the answer to an order teaches. */
import type { MemoryResources, ResizeAction, ResizeOutcome } from '../../model.ts'
import { learnLimit } from '../limits.ts'
import { unended } from '../words.ts'
import { distanceIn } from './amounts.ts'
import { longer, type ResizeMemory } from './ruling.ts'

const PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 5 * 60_000

/** The amount was too much; less may be granted. */
const tooMuch: ReadonlySet<string> = new Set([
  'RESIZE_NODE_CAPACITY',
  'RESIZE_QUOTA',
  'RESIZE_LIMIT_RANGE',
  'RESIZE_POLICY',
])

/** The amount was too little, or anything less than there is. */
const tooLittle: ReadonlySet<string> = new Set(['RESIZE_LIMIT_RANGE', 'RESIZE_POLICY'])

/** What failed on the way to the API server says nothing of the amount: the call may have been made, or may work in a moment. */
const isPassing = (code: string) => code.startsWith('KUBERNETES_') || code === 'RESIZE_CONFLICT'

export function settleResize(memory: ResizeMemory, outcome: ResizeOutcome): ResizeMemory {
  const { ordered } = memory
  const { action, atMs } = outcome
  switch (outcome.kind) {
    case 'accepted':
      return {
        ...memory,
        pause: undefined,
        off: undefined,
        ordered: ordered && { ...ordered, answeredMs: atMs },
      }
    case 'advised':
      return { ...memory, ordered: undefined }
    case 'unfit': {
      const pause = { untilMs: atMs + PAUSE_MS, lastsMs: PAUSE_MS, why: outcome.why }
      return { ...memory, ordered: undefined, pause }
    }
    case 'failed': {
      const { ceiling, code, floor, retryAfterMs } = outcome
      const why = unended(outcome.message)
      if (isPassing(code)) {
        const lastsMs = longer(memory.pause, atMs, PAUSE_MS, LONGEST_PAUSE_MS)
        const untilMs = atMs + Math.max(lastsMs, retryAfterMs ?? 0)
        // Whether it was done shows when the pod is read next.
        const kept = ordered && { ...ordered, answeredMs: atMs }
        return { ...memory, ordered: kept, pause: { untilMs, lastsMs, why } }
      }
      if (code === 'RESIZE_LIMIT_RULE') {
        return { ...memory, ordered: undefined, limitOnlyRises: true }
      }
      if (!tooMuch.has(code)) {
        return { ...memory, ordered: undefined, off: learnLimit(memory.off, 0, why, atMs) }
      }
      if (action.kind === 'lower' && tooLittle.has(code)) {
        const least = leastGranted(action, floor)
        return { ...memory, ordered: undefined, floor: learnLimit(memory.floor, least, why, atMs) }
      }
      if (action.kind !== 'raise') {
        const lastsMs = longer(memory.pause, atMs, PAUSE_MS, LONGEST_PAUSE_MS)
        const pause = { untilMs: atMs + lastsMs, lastsMs, why }
        return { ...memory, ordered: undefined, pause }
      }
      const most = mostGranted(action, ceiling)
      const learned = learnLimit(memory.ceiling, most, why, atMs)
      return { ...memory, ordered: undefined, ceiling: learned }
    }
  }
}

/** The request up to which a refused raise would have been granted, by what was said of it or of the limit; else as it was. */
function mostGranted(action: ResizeAction, { requestBytes, limitBytes }: MemoryResources): number {
  const [had, distance] = [requestBefore(action), distanceIn(action.to)]
  if (requestBytes === undefined && limitBytes === undefined) return had
  return Math.max(had, Math.min(requestBytes ?? Infinity, (limitBytes ?? Infinity) - distance))
}

/** The request down to which a refused decrease would have been granted, likewise. */
function leastGranted(action: ResizeAction, { requestBytes, limitBytes }: MemoryResources): number {
  const [had, distance] = [requestBefore(action), distanceIn(action.to)]
  if (requestBytes === undefined && limitBytes === undefined) return had
  return Math.min(had, Math.max(requestBytes ?? 0, (limitBytes ?? 0) - distance))
}

function requestBefore({ from }: ResizeAction): number {
  return from.requestBytes ?? from.limitBytes ?? 0
}
