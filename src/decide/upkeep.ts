/** Rules about the workers themselves, whatever the load: changes under way, changes by others, the dead, the bounds. */
import { watchGrowth } from './growth.ts'
import { active, learnLimit } from './limits.ts'
import { learnLoading } from './loading.ts'
import { change, hold, learned, shrink, type Rule, type Ruling } from './ruling.ts'
import { refusalOf, refusals } from './refusals.ts'
import { nextStep } from './sizing.ts'
import { capOf, type View } from './view.ts'
import { are, count, load, seconds, were } from './words.ts'

/** An action that TorchServe never confirmed is given up after this long. */
const LOST_MS = 60_000
const FOREIGN_MS = 60_000
const FOREIGN_LONGEST_MS = 60 * 60_000
/** How long a worker found failing may go on before it is rolled back: one that crashed is back after a second or two. */
const FAILING_MS = 10_000
/** Parts of TorchServe's patience with a failing worker, after which those that serve behind it go: one by one, then at once. */
const ONE_BY_ONE = 0.25
const AT_ONCE = 0.5

export const refused: Rule = view => {
  const refusal = refusalOf(view)
  if (!refusal) return undefined
  return hold(view, 'refused', `Workers of this model are left alone: ${refusals[refusal]}.`)
}

export const inFlight: Rule = view => {
  const { change: flying } = view.memory
  if (!flying || flying.commanded) return undefined
  if (view.nowMs - flying.sinceMs > LOST_MS) {
    const memory = { ...view.memory, change: undefined, expected: undefined }
    return hold(view, 'in_flight', 'The last change was never answered; starting over.', memory)
  }
  const { from, to } = flying.action
  return hold(view, 'in_flight', `Going from ${count(from)} to ${to}.`)
}

export const growing: Rule = view => {
  const { census, description, memory, nowMs } = view
  const { change: flying } = memory
  if (!flying) return undefined
  const growth = watchGrowth(flying, description, census.tracks, memory.loading.aloneMs, nowMs)
  switch (growth.state) {
    case 'waiting':
      if (nowMs - flying.sinceMs < FAILING_MS)
        return hold(view, 'loading', 'Waiting for all new workers to be listed.')
      return hold(view, 'loading', 'Not all new workers came; taking the list as it is.', {
        ...memory,
        change: undefined,
        expected: undefined,
      })
    case 'loading':
      return hold(
        view,
        'loading',
        `${count(growth.of - growth.ready)} still loading; ${load(view)}.`,
      )
    case 'between_tries':
      return hold(
        view,
        'loading',
        'A new worker could not load; it is taken back once TorchServe has begun to try it again, since until then it could not be stopped.',
      )
    case 'launcher':
      return refused({ ...view, memory: { ...memory, launcher: true, change: undefined } })
    case 'failed':
      return servingFrom(view, growth.keep) > 0
        ? standBy(view, growth.why)
        : rollBack(view, growth.keep, growth.why)
    case 'loaded': {
      const { from, to } = flying.action
      const ceiling = to > (memory.ceiling?.at ?? Infinity) ? undefined : memory.ceiling
      const loading = learnLoading(memory.loading, growth.tookMs, growth.of)
      const begun = memory.unsure?.to === from ? memory.unsure : { from, before: flying.baseline }
      const isRetry = memory.knee?.at === begun.from
      const knee =
        isRetry && memory.knee && begun.before
          ? { ...memory.knee, serviceMs: begun.before.serviceMs }
          : memory.knee
      const trial =
        flying.action.kind === 'grow' && from > 0
          ? {
              from: begun.from,
              to,
              readyMs: nowMs,
              before: begun.before,
              isRetry,
              ...(begun.from < from && { step: { from, before: flying.baseline } }),
            }
          : undefined
      return learned(view, { ceiling, knee, loading, trial, change: undefined })
    }
  }
}

/** `bearable`: how many workers are known to load beside each other, if more than are kept. */
function rollBack(view: View, keep: number, why: string, bearable = keep): Ruling {
  const to = Math.max(keep, 0)
  const because = `A new worker could not load (${why}): back to ${count(to)} before TorchServe calls itself unhealthy.`
  const ceiling = learnLimit(view.memory.ceiling, Math.max(bearable, 1), why, view.nowMs)
  return change(view, 'rollback', to, 'load_failed', because, { ...view.memory, ceiling })
}

function servingFrom(view: View, index: number): number {
  return view.description.workers.slice(index).filter(worker => worker.ready).length
}

/** TorchServe takes only the last ones away, and those serve: the failed one stays among them while it is tried again. */
function standBy(view: View, why: string): Ruling {
  const { census, memory, nowMs } = view
  const because = `A new worker could not load (${why}); it stays while those behind it serve, and TorchServe tries it again.`
  const ceiling = learnLimit(memory.ceiling, Math.max(census.ready, 1), why, nowMs)
  return hold(view, 'load_failed', because, { ...memory, change: undefined, ceiling })
}

export const changedByOthers: Rule = view => {
  const { listed, memory, nowMs } = view
  if (!view.fresh) return undefined
  if (memory.expected === undefined) {
    return learned(view, { expected: listed })
  }
  if (memory.expected !== listed) {
    const before = memory.foreign
    const repeated = before !== undefined && nowMs < before.untilMs + before.lastsMs
    const lastsMs = repeated ? Math.min(2 * before.lastsMs, FOREIGN_LONGEST_MS) : FOREIGN_MS
    const because = `Somebody else set ${count(listed)} where ${memory.expected} ${were(memory.expected)} expected; leaving it for ${seconds(lastsMs)}.`
    const foreign = { untilMs: nowMs + lastsMs, lastsMs }
    const next = { ...memory, expected: listed, foreign, trial: undefined }
    return hold(view, 'foreign_change', because, next)
  }
  if (memory.foreign && nowMs < memory.foreign.untilMs) {
    const left = seconds(memory.foreign.untilMs - nowMs)
    return hold(
      view,
      'foreign_change',
      `Somebody else set ${count(listed)}; leaving it for ${left} more.`,
    )
  }
  return undefined
}

export const allDead: Rule = view => {
  const { census, listed, policy } = view
  if (listed === 0 || census.dead.size < listed) return undefined
  if (view.nowMs < view.memory.noActionBeforeMs) return undefined
  const to = Math.max(1, policy.minWorkers)
  const because = `All ${count(listed)} ${are(listed)} dead and TorchServe no longer tries: only going to none and back starts new ones.`
  return change(view, 'repair', to, 'dead_worker', because)
}

/** Workers at the end of the list that fail to load, or are dead: those that our own growth left when the agent died. */
export const failing: Rule = view => {
  const { census, description, memory, nowMs } = view
  const isFailing = (id: string) => {
    const track = census.tracks.get(id)
    if (census.dead.has(id)) return true
    if (!track || track.wasReady || track.failedSinceMs === undefined) return false
    return nowMs - track.failedSinceMs > Math.min(FAILING_MS, description.maxRetryMs / 2)
  }
  const keep = description.workers.findLastIndex(worker => !isFailing(worker.id)) + 1
  if (census.ready === 0) return undefined
  if (keep === description.workers.length) return failingAmongServing(view, isFailing)
  return rollBack(view, keep, 'it was found failing', active(memory.ceiling, nowMs)?.at)
}

/** A worker that never loaded, with others behind it that serve: they go before TorchServe loses its patience with it. */
function failingAmongServing(view: View, isFailing: (id: string) => boolean): Ruling | undefined {
  const { census, description, nowMs } = view
  const first = description.workers.findIndex(({ id }) => isFailing(id) && !census.dead.has(id))
  const sinceMs = census.tracks.get(description.workers[first]?.id ?? '')?.failedSinceMs
  if (sinceMs === undefined) return undefined
  const failingMs = nowMs - sinceMs
  if (failingMs > AT_ONCE * description.maxRetryMs) {
    const bearable = active(view.memory.ceiling, nowMs)?.at
    return rollBack(view, first, 'TorchServe’s patience with it ends', bearable)
  }
  if (failingMs < ONE_BY_ONE * description.maxRetryMs) return undefined
  return shrink(
    view,
    'load_failed',
    `Worker ${first + 1} of the list cannot load, and those behind it stand in its way`,
  )
}

export const pausing: Rule = view => {
  const left = view.memory.noActionBeforeMs - view.nowMs
  if (left <= 0) return undefined
  return hold(view, 'cooldown', `The last change failed; trying again in ${seconds(left)}.`)
}

export const outOfBounds: Rule = view => {
  const { census, counters, description, listed, memory, policy } = view
  const live = listed - census.dead.size
  if (live < policy.minWorkers) {
    const to = Math.min(policy.minWorkers, capOf(view).workers)
    if (to <= live) return undefined
    const step = census.dead.size + nextStep(live, to, memory, description)
    return change(
      view,
      'grow',
      step,
      'below_minimum',
      `The minimum is ${count(policy.minWorkers)}, ${live} ${are(live)} there.`,
    )
  }
  // Without arrivals to look at nobody is taken, not even above the maximum: TorchServe starts a worker per core by itself.
  if (live > policy.maxWorkers && counters.state === 'fresh') {
    return shrink(
      view,
      'above_maximum',
      `The maximum is ${count(policy.maxWorkers)}, ${live} ${are(live)} there`,
    )
  }
  return undefined
}
