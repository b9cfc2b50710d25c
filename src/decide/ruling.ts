import type { Action, ActionKind, Reason } from '../model.ts'
import { baselineOf, type Sample } from './demand.ts'
import { GPU_FULL } from './gpu/activity.ts'
import type { PoolMemory } from './memory.ts'
import type { View } from './view.ts'
import { seconds } from './words.ts'

export interface Ruling {
  reason: Reason
  /** One sentence for a person. */
  because: string
  /** Absent: hold. */
  action?: Action
  memory: PoolMemory
}

/** A rule settles the matter with a ruling, hands on what it learned as a new view, or has nothing to say. */
export type Rule = (view: View) => Ruling | { learned: View } | undefined

export function learned(view: View, memory: Partial<PoolMemory>): { learned: View } {
  return { learned: { ...view, memory: { ...view.memory, ...memory } } }
}

export function hold(view: View, reason: Reason, because: string, memory = view.memory): Ruling {
  return { reason, because, memory }
}

export function change(
  view: View,
  kind: ActionKind,
  to: number,
  reason: Reason,
  because: string,
  memory = view.memory,
): Ruling {
  const { description, key, listed, nowMs } = view
  const action: Action = { kind, pool: description.id, key, from: listed, to }
  const samples = memory.demand.samples
  const same = samples.slice(
    samples.findLastIndex(sample => sample.ready !== view.census.ready) + 1,
  )
  // What may prove a knee wrong is held against all that is remembered of it.
  const spanMs = memory.knee ? 60_000 : 10_000
  const baseline = baselineOf(same.filter(sample => nowMs - sample.atMs <= spanMs))
  return {
    reason,
    because,
    action,
    memory: {
      ...memory,
      trial: undefined,
      unsure: kind === 'grow' ? memory.unsure : undefined,
      change: {
        action,
        sinceMs: nowMs,
        commanded: false,
        before: new Set(kind === 'repair' ? [] : description.workers.map(worker => worker.id)),
        baseline: baseline && { ...baseline, gpuFull: isGpuFull(view, same) },
      },
    },
  }
}

/** Whether the GPU had no time left with as many workers as in the samples. */
function isGpuFull({ gpu }: View, [first]: readonly Sample[]): boolean {
  const { pulse } = gpu ?? {}
  return !!pulse && !!first && pulse.atMs >= first.atMs && pulse.share >= GPU_FULL
}

/** The same with a growth to fewer workers. */
export function lessened(ruling: Ruling, to: number): Ruling {
  const { action, memory } = ruling
  if (!action || !memory.change || action.to === to) return ruling
  const less = { ...action, to }
  const because = `${ruling.because} For now ${to}, as many as there is memory for.`
  return {
    ...ruling,
    because,
    action: less,
    memory: { ...memory, change: { ...memory.change, action: less } },
  }
}

/** Takes the last worker away, not too soon after the one before. */
export function shrink(view: View, reason: Reason, why: string): Ruling {
  const { listed, memory, nowMs } = view
  const left = memory.noShrinkBeforeMs - nowMs
  if (left > 0)
    return hold(
      view,
      'cooldown',
      `${why}; the next worker goes in ${seconds(left)} at the earliest.`,
    )
  return change(view, 'shrink', listed - 1, reason, `${why}: ${listed} → ${listed - 1}.`)
}
