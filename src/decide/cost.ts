/** What one worker of a pool costs in memory: learned from those that are there. */
import type { PoolPolicy } from '../config.ts'
import type { Description } from '../model.ts'
import { addToWindow, emptyWindow, largest, type MaxWindow } from './window.ts'

/** TorchServe collects what it says of memory once a minute; a number that stood still for longer is an old one. */
const HINT_MOVES_MS = 150_000
/** A peak is remembered for so long: what a worker once needed it may need again. */
const WINDOW_MS = 60 * 60_000

export interface Cost {
  /** The most that any worker held, each second. */
  seen: MaxWindow
  /** What TorchServe said of each worker, and when it last said something else. */
  hints: ReadonlyMap<string, { bytes: number; changedMs: number | undefined }>
  /** Requests were answered: what is seen is not only what a worker holds before its first one. */
  served: boolean
}

export const noCost: Cost = { seen: emptyWindow, hints: new Map(), served: false }

/** Takes in one look at a pool's workers; `answered`: requests have been answered. */
export function learnCost(
  cost: Cost,
  { workers }: Description,
  answered: boolean,
  nowMs: number,
): Cost {
  const hints = new Map(
    workers.flatMap(({ id, memoryBytes }) => {
      if (memoryBytes === undefined) return []
      const before = cost.hints.get(id)
      if (before?.bytes === memoryBytes) return [[id, before]]
      return [[id, { bytes: memoryBytes, changedMs: before ? nowMs : undefined }]]
    }),
  )
  const hint = (id: string) => {
    const said = hints.get(id)
    const moves = said?.changedMs !== undefined && nowMs - said.changedMs < HINT_MOVES_MS
    return moves ? said.bytes : 0
  }
  const most = Math.max(0, ...workers.map(({ id, use }) => use?.bytes ?? hint(id)))
  return {
    hints,
    served: cost.served || answered,
    seen: most > 0 ? addToWindow(cost.seen, nowMs, most, WINDOW_MS) : cost.seen,
  }
}

/** Bytes of one worker more; undefined while neither seen nor declared. */
export function costOf(
  { seen, served }: Cost,
  { workerMemory }: Pick<PoolPolicy, 'workerMemory'>,
): number | undefined {
  const most = largest(seen)
  if (most === undefined) return workerMemory
  return served ? most : Math.max(most, workerMemory ?? 0)
}

/** Whether it is known what a worker needs that serves, and not only what one holds that loads, or waits for its first request. */
export function isSure(
  { served }: Cost,
  { workerMemory }: Pick<PoolPolicy, 'workerMemory'>,
): boolean {
  return served || workerMemory !== undefined
}
