/** Rules about the load: waking, what a growth brought, up and down. */
import { busyWorkers } from './demand.ts'
import { gpuActivity, judge, uselessStep, type Trial } from './knee.ts'
import { active, learnLimit } from './limits.ts'
import { change, hold, learned, shrink, type Rule, type Ruling } from './ruling.ts'
import { nextStep } from './sizing.ts'
import { capOf, type View } from './view.ts'
import { capitalised, count, load, percent, seconds, were } from './words.ts'

export const waking: Rule = view => {
  const { counters, listed, memory } = view
  if (listed > 0 || counters.state !== 'fresh') return undefined
  const arrived = counters.value.requests - (memory.requestsWithWorkers ?? 0)
  if (arrived === 0)
    return hold(
      view,
      'steady',
      'At zero workers; the first request will wake the model (TorchServe answers it 503).',
    )
  return change(
    view,
    'grow',
    1,
    'wake',
    `${arrived > 1 ? `${arrived} requests` : 'A request'} arrived at zero workers: waking the model.`,
  )
}

export const onTrial: Rule = view => {
  const { memory, nowMs } = view
  if (!memory.trial) return undefined
  const trial = withPulse(memory.trial, view)
  if (view.listed !== trial.to) return learned(view, { trial: undefined })
  // Of more than twice as many, chance does not make useless ones.
  const isLast = trial.to >= capOf(view).workers && trial.to > 2 * trial.from
  const { samples } = memory.demand
  const wasUseless = uselessStep(trial, samples, nowMs)
  if (wasUseless) return found(view, wasUseless)
  const verdict = judge(trial, samples, nowMs, isLast)
  if (verdict === 'measuring') {
    return hold(
      view,
      'measuring',
      `Measuring what ${trial.to} workers do that ${trial.from} did not.`,
      { ...memory, trial },
    )
  }
  if (verdict === 'helps') {
    const knee = trial.to > (memory.knee?.at ?? Infinity) ? undefined : memory.knee
    const proven = Math.max(memory.proven, trial.to)
    return learned(view, { trial: undefined, knee, proven, unsure: undefined })
  }
  if (verdict === 'unsure') return learned(view, { trial: undefined, unsure: trial })
  return found(view, trial)
}

/** The knee is at what a growth began with that was of no use. */
function found(view: View, trial: Trial) {
  const { memory, nowMs } = view
  const activity = gpuActivity(trial)
  const busy =
    activity === undefined ? '' : `, with a GPU that was busy ${percent(activity)} of the time`
  const why = `${trial.to} workers served no more than ${trial.from}${busy}`
  const limit = learnLimit(memory.knee, trial.from, why, nowMs)
  const knee = { ...limit, serviceMs: trial.before?.serviceMs }
  return learned(view, { trial: undefined, knee, proven: trial.from, unsure: undefined })
}

/** The trial with what was newly read of the GPU since the new workers were ready. */
function withPulse(trial: Trial, { gpu }: View): Trial {
  const { pulses = [], readyMs } = trial
  const { pulse } = gpu ?? {}
  const lastMs = pulses.at(-1)?.atMs ?? readyMs - 1
  return pulse && pulse.atMs > lastMs ? { ...trial, pulses: [...pulses, pulse] } : trial
}

export const unknown: Rule = view => {
  if (view.needed) return undefined
  if (view.counters.state !== 'fresh') {
    return hold(
      view,
      'stale',
      `No arrivals are seen (${view.counters.why}); ${count(view.listed)} stay.`,
    )
  }
  return hold(view, 'learning', 'Learning how long a request takes.')
}

export const up: Rule = view => {
  const { census, description, listed, memory, needed } = view
  const live = listed - census.dead.size
  if (!needed || needed.now <= live) return undefined
  const cap = capOf(view)
  if (cap.workers <= live) return blocked(view, needed.now, cap.by)
  const to = nextStep(live, Math.min(needed.now, cap.workers), memory, description)
  const reason = needed.steady > live ? 'demand' : 'backlog'
  const dead = census.dead.size > 0 ? ` (beside ${count(census.dead.size)} dead)` : ''
  const because = `${load(view)}: ${live} → ${to}${dead}.`
  return change(view, 'grow', to + census.dead.size, reason, because)
}

function blocked(
  view: View,
  needed: number,
  by: 'maximum' | 'knee' | 'ceiling',
): Ruling | undefined {
  const { listed, memory, nowMs, policy } = view
  if (by === 'maximum') {
    return hold(view, 'at_maximum', `${load(view)}, but the maximum is ${policy.maxWorkers}.`)
  }
  if (by === 'ceiling') {
    const ceiling = active(memory.ceiling, nowMs)
    const again = seconds((ceiling?.untilMs ?? nowMs) - nowMs)
    return hold(
      view,
      'at_ceiling',
      `${count(needed)} needed, but the last attempt at more than ${ceiling?.at} failed (${ceiling?.why}); next in ${again}.`,
    )
  }
  const knee = active(memory.knee, nowMs)
  if (knee && listed > knee.at) return undefined
  return hold(
    view,
    'at_knee',
    `${count(needed)} needed by the numbers, but ${knee?.why}: more would only stand in each other's way.`,
  )
}

export const down: Rule = view => {
  const { census, held, holdMs, listed, memory, nowMs, policy } = view
  const live = listed - census.dead.size
  const knee = active(memory.knee, nowMs)
  if (knee && live > Math.max(knee.at, policy.minWorkers)) {
    return shrink(view, 'knee', capitalised(knee.why))
  }
  if (held === undefined || live <= policy.minWorkers) return undefined
  if (live <= held) return kept(view)
  const watchedMs = nowMs - memory.firstSeenMs
  if (watchedMs < holdMs) {
    return hold(
      view,
      'hold_window',
      `${load(view)}; watching for ${seconds(holdMs - watchedMs)} more before a worker goes.`,
    )
  }
  const busy = busyWorkers(memory.demand, 5_000)
  if (view.waiting > 0 || (busy > 0 && busy >= live - 1)) {
    return hold(
      view,
      'consolidation',
      `${load(view)}, but ${view.waiting > 0 ? `${view.waiting} are waiting` : `${busy.toFixed(1)} workers are busy`}.`,
    )
  }
  const reason = held === 0 ? 'idle' : 'excess'
  return shrink(
    view,
    reason,
    `For ${seconds(holdMs)} no more than ${count(held)} ${were(held)} needed`,
  )
}

/** More workers than the load asks for now, and no more than it asked for a while ago. */
function kept(view: View): Ruling | undefined {
  const { holdMs, listed, needed } = view
  if (!needed || needed.safely >= listed) return undefined
  const because = `${load(view)}; ${count(listed)} stay, as many as were needed within the last ${seconds(holdMs)}.`
  return hold(view, 'hold_window', because)
}
