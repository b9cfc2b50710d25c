/** When the pod's memory is raised, lowered, taken back or healed. */
import type { MemoryResources, PodState, ResizeAction } from '../../model.ts'
import { active, learnLimit } from '../limits.ts'
import { inMib, seconds } from '../words.ts'
import { amountsFor, amountsText, healed, lowered, raised, same, takenBack } from './amounts.ts'
import { isCurrent, progressOf, unfitness } from './kubelet.ts'
import { hold, learned, longer, order } from './ruling.ts'
import type { Ordered, ResizeView, Rule, Ruling } from './ruling.ts'

/** Memory is given back when it was too much for so long: pools may still be changing their minds. */
const LOWER_AFTER_MS = 5_000
/** Less than this is not worth a change. */
const WORTHWHILE = 32 * 2 ** 20
/** Nor is it, without a new worker, as long as most of the margin is left: what is in use rises and falls by little all the time. */
const LITTLE = 0.04
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const unfit: Rule = view => {
  const why = unfitness(view.pod)
  return why && hold(view, why.lasts ? 'unsupported' : 'not_running', `${why.text}.`)
}

const off: Rule = view => {
  const limit = active(view.memory.off, view.nowMs)
  if (!limit) return undefined
  const again = seconds(limit.untilMs - view.nowMs)
  return hold(view, 'unsupported', `${limit.why}. Trying again in ${again}.`, {
    ordered: undefined,
  })
}

const underWay: Rule = view => {
  const { memory, pod, readAtMs } = view
  const { ordered } = memory
  if (!ordered) return undefined
  const { kind, to } = ordered.action
  const text = amountsText(to)
  if (ordered.answeredMs === undefined || readAtMs <= ordered.answeredMs) {
    return hold(view, 'confirming', `${text}: waiting for the API server.`)
  }
  // The call failed, or somebody wrote over it: the next rule tells which.
  if (!same(pod.container.desired, to)) return learned(view, { ordered: undefined })
  const progress = progressOf(ordered, view)
  if (progress.state === 'waiting') return hold(view, 'confirming', `${text}: ${progress.why}.`)
  if (progress.state === 'refused') return takeBack(view, ordered, progress.why)
  const { ceiling } = memory
  const isAbove = ceiling && (to.requestBytes ?? to.limitBytes ?? 0) > ceiling.at
  return learned(view, {
    ordered: undefined,
    expected: to,
    ...(isAbove ? { ceiling: undefined } : {}),
    ...(kind === 'heal' ? { suspect: false, healedMs: view.nowMs } : {}),
  })
}

function takeBack(view: ResizeView, { action }: Pick<Ordered, 'action'>, why: string): Ruling {
  const { memory, nowMs, pod } = view
  const to = takenBack(pod, action, memory.limitOnlyRises)
  if (same(to, pod.container.desired)) {
    const lastsMs = longer(memory.pause, nowMs, MINUTE_MS, 10 * MINUTE_MS)
    const pause = { untilMs: nowMs + lastsMs, lastsMs, why: `${amountsText(to)}: ${why}` }
    return hold(view, 'paused', `${pause.why}.`, { pause, ordered: undefined, expected: to })
  }
  const text = `${amountsText(action.to)}: ${why}. Back to ${amountsText(to)}, so that the wish blocks nobody.`
  // Should going back fail, what stands is still ours.
  const expected = pod.container.desired
  // While one is remembered nothing like it was asked anew: it is the same refusal, seen again since going back failed.
  if (action.kind === 'lower') {
    const isKnown = memory.keepLimit !== undefined && nowMs < memory.keepLimit.untilMs
    const lastsMs = longer(memory.keepLimit, nowMs, MINUTE_MS, 10 * MINUTE_MS)
    const keepLimit = isKnown ? memory.keepLimit : { untilMs: nowMs + lastsMs, lastsMs, why }
    return order(view, 'revert', to, 'taken_back', text, { keepLimit, expected })
  }
  const most = roomFor(pod, action, to)
  const known = active(memory.ceiling, nowMs)
  const isNew = action.kind === 'raise' && most < (known?.at ?? Infinity)
  const ceiling = isNew ? learnLimit(memory.ceiling, most, why, nowMs) : memory.ceiling
  return order(view, 'revert', to, 'taken_back', text, { ceiling, expected })
}

/** The request that the node has room for, by the kubelet's numbers; without any, what it is taken back to. */
function roomFor(pod: PodState, { to }: Pick<ResizeAction, 'to'>, back: MemoryResources): number {
  const had = back.requestBytes ?? back.limitBytes ?? 0
  const { excessBytes, observedGeneration } = pod.pending ?? {}
  if (excessBytes === undefined || !isCurrent(observedGeneration, pod)) return had
  return Math.max(had, (to.requestBytes ?? 0) - excessBytes)
}

const peers: Rule = view => {
  const { memory, nowMs, pod } = view
  const { desired } = pod.container
  const standing = pod.peers.find(({ wroteAtMs }) => wroteAtMs === undefined)
  if (standing) {
    const text = `${standing.name} sets the memory of this pod; it is left to that.`
    return hold(view, 'peer', text, { expected: desired })
  }
  if (memory.expected === undefined) return learned(view, { expected: desired })
  if (!same(memory.expected, desired)) {
    const lastsMs = longer(memory.peer, nowMs, MINUTE_MS, HOUR_MS)
    const name = pod.peers.at(-1)?.name ?? 'Somebody'
    const text = `${name} set ${amountsText(desired)} where ${amountsText(memory.expected)} was expected; leaving it for ${seconds(lastsMs)}.`
    const peer = { untilMs: nowMs + lastsMs, lastsMs }
    return hold(view, 'peer', text, { peer, expected: desired })
  }
  if (!memory.peer || nowMs >= memory.peer.untilMs) return undefined
  const left = seconds(memory.peer.untilMs - nowMs)
  return hold(view, 'peer', `Somebody else set the memory; leaving it for ${left} more.`)
}

const pausing: Rule = view => {
  const { pause } = view.memory
  if (!pause || view.nowMs >= pause.untilMs) return undefined
  return hold(
    view,
    'paused',
    `${pause.why}. Trying again in ${seconds(pause.untilMs - view.nowMs)}.`,
  )
}

/** A refused wish that an agent before this one left behind. */
const leftover: Rule = view => {
  const { container, inProgress, pending } = view.pod
  const refused = pending ?? (inProgress?.reason === '' ? undefined : inProgress)
  if (!refused) return undefined
  const { actual, desired, restartCount } = container
  const kind = pending ? 'raise' : 'lower'
  const action = { kind, to: desired, from: actual ?? desired, restartCount } as const
  return takeBack(view, { action }, `the kubelet says ${refused.reason}: ${refused.message}`)
}

const healing: Rule = view => {
  const { cgroup, memory, pod, policy } = view
  if (!memory.suspect) return undefined
  const to = healed(pod, policy, cgroup, mayLowerLimit(view))
  // At the cap, and in use nearly up to the limit or not to be lowered at all: it is taken as it looks.
  if (!to) return learned(view, { suspect: false })
  const text =
    'The container went down around a change of its memory, and the pod may have kept the old amount: changing it by 1 MiB, which sets both.'
  return order(view, 'heal', to, 'healing', text)
}

function mayLowerLimit({ memory, nowMs }: ResizeView): boolean {
  return !memory.limitOnlyRises && nowMs >= (memory.keepLimit?.untilMs ?? 0)
}

const raising: Rule = view => {
  const { memory, need, nowMs, pod, policy, wanted } = view
  if (wanted === undefined) {
    return hold(view, 'memory_unknown', 'What the workers need is not known yet.')
  }
  const { desired } = pod.container
  const ceiling = active(memory.ceiling, nowMs)
  const most = Math.max(ceiling?.at ?? Infinity, desired.requestBytes ?? 0)
  const missing = wanted - (desired.requestBytes ?? desired.limitBytes ?? wanted)
  if (wanted === need && missing < Math.min(WORTHWHILE, LITTLE * wanted)) return undefined
  const to = raised(desired, amountsFor(pod, Math.min(wanted, most), policy, memory.distance ?? 0))
  if (!same(desired, to)) {
    const text = `The workers asked for need ${inMib(wanted)}: ${amountsText(desired)} → ${amountsText(to)}.`
    return order(view, 'raise', to, 'more_workers', text)
  }
  if (wanted <= (desired.requestBytes ?? Infinity)) return undefined
  const by = ceiling ? ceiling.why : `the cap is ${inMib(policy.maxMemory ?? Infinity)}`
  return hold(view, 'limited', `The workers asked for need ${inMib(wanted)}, but ${by}.`)
}

const lowering: Rule = view => {
  const { cgroup, memory, nowMs, pod, policy, wanted } = view
  if (wanted === undefined) return undefined
  const { desired } = pod.container
  const floor = active(memory.floor, nowMs)
  const least = Math.max(wanted, floor?.at ?? 0)
  const enough = amountsFor(pod, least, policy, memory.distance ?? 0)
  const to = lowered(pod, enough, cgroup, mayLowerLimit(view))
  const spare = Math.max(
    (desired.requestBytes ?? 0) - (to.requestBytes ?? 0),
    (desired.limitBytes ?? 0) - (to.limitBytes ?? 0),
  )
  if (spare < WORTHWHILE) return keeping(view, enough)
  if (!view.sure) {
    const text = `${inMib(spare)} more than is needed now; kept until every model has answered a request, since only then it shows what a worker needs.`
    return hold(view, 'memory_unknown', text, { tooMuchSinceMs: undefined })
  }
  const sinceMs = memory.tooMuchSinceMs ?? nowMs
  const leftMs = sinceMs + LOWER_AFTER_MS - nowMs
  if (leftMs > 0) {
    const text = `${inMib(spare)} more than needed; given back in ${seconds(leftMs)}.`
    return hold(view, 'fits', text, { tooMuchSinceMs: sinceMs })
  }
  const text = `The workers there need ${inMib(wanted)}: ${amountsText(desired)} → ${amountsText(to)}.`
  return order(view, 'lower', to, 'fewer_workers', text)
}

/** More than enough may stay: then it is said why. */
function keeping(view: ResizeView, enough: MemoryResources): ReturnType<Rule> {
  const { cgroup, memory, nowMs, pod, wanted = 0 } = view
  const { limitBytes, requestBytes } = pod.container.desired
  const floor = active(memory.floor, nowMs)
  const unneeded = Math.min(requestBytes ?? 0, floor?.at ?? 0) - wanted
  const spare = (limitBytes ?? 0) - (enough.limitBytes ?? limitBytes ?? 0)
  const stays = (what: string, bytes: number, why: string) =>
    hold(view, 'limit_kept', `The ${what} stays ${inMib(bytes)} above need: ${why}.`, {
      tooMuchSinceMs: undefined,
    })
  if (floor && unneeded >= WORTHWHILE) {
    return stays('request', unneeded, `${floor.why}; again in ${seconds(floor.untilMs - nowMs)}`)
  }
  if (spare >= WORTHWHILE) return stays('limit', spare, whyKept(cgroup, memory, nowMs))
  return learned(view, { tooMuchSinceMs: undefined })
}

function whyKept(
  cgroup: ResizeView['cgroup'],
  { keepLimit, limitOnlyRises }: ResizeView['memory'],
  nowMs: number,
): string {
  if (limitOnlyRises) return 'this Kubernetes lowers none without a restart'
  if (keepLimit && nowMs < keepLimit.untilMs) {
    return `${keepLimit.why}; again in ${seconds(keepLimit.untilMs - nowMs)}`
  }
  if (cgroup.state === 'fresh') {
    return `${inMib(cgroup.value.usageBytes)} are in use, cached files included`
  }
  return 'what is in use is not seen without stoker.dev/share-processes'
}

const inOrder: readonly Rule[] = [
  unfit,
  off,
  underWay,
  peers,
  pausing,
  leftover,
  healing,
  raising,
  lowering,
]

/** The first rule that settles the matter decides; what the rules before it learned is kept. */
export function ruleResize(view: ResizeView): Ruling {
  let seen = view
  for (const rule of inOrder) {
    const said = rule(seen)
    if (said && 'reason' in said) return said
    if (said) seen = said.learned
  }
  const has = amountsText(view.pod.container.desired)
  return hold(seen, 'fits', `The workers need ${inMib(view.wanted ?? 0)}; the pod has ${has}.`)
}
