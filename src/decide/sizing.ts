import type { PoolPolicy } from '../config.ts'
import type { Description } from '../model.ts'
import { arrivalRate, measuredServiceTime, serviceTime, steadyRate } from './demand.ts'
import { workersNeeded, type Load } from './erlang.ts'
import { mayLoadTogether } from './loading.ts'
import type { PoolMemory } from './memory.ts'

/** The least time a backlog is given to drain. */
const DRAIN_MS = 5_000
/** A pod more takes about so long to come: what waits until then is not ordered a second time. */
const POD_START_MS = 120_000
/** On the way down the wait must be met with this much to spare. */
const MARGIN = 0.8

export interface Needed {
  arrivals: number
  serviceMs: number
  /** Workers for the arrivals alone. */
  steady: number
  /** Workers for the arrivals and the backlog. */
  now: number
  /** Workers for the arrivals with a margin: what must have been enough before a worker goes. */
  safely: number
  /**
   * The arrivals of the last while, and what waits by the time a pod takes to come, up to as much again: what is scaled by in pods.
   * Undefined: not known yet.
   */
  lasting: Load | undefined
  /** No more than the policy's share of `lasting` shall wait longer. */
  waitMs: number
}

interface Measured extends Pick<Needed, 'arrivals' | 'serviceMs'> {
  /** The arrivals of the last while; undefined: not known yet. */
  offered: number | undefined
}

/** How many workers the load asks for, unclipped; undefined while arrivals or service time are not known. */
export function size(
  memory: PoolMemory,
  description: Description,
  policy: PoolPolicy,
): Needed | undefined {
  const arrivals = arrivalRate(memory.demand)
  const serviceMs = serviceTime(memory.demand)
  if (arrivals === undefined) return undefined
  const offered = steadyRate(memory.demand)
  if (serviceMs === undefined && Math.max(arrivals, offered ?? 0) > 0) return undefined
  return sizeBy(memory, description, policy, { arrivals, offered, serviceMs: serviceMs ?? 0 })
}

function sizeBy(
  memory: PoolMemory,
  { batchSize, maxBatchDelayMs, pending }: Description,
  policy: PoolPolicy,
  { arrivals, offered, serviceMs }: Measured,
): Needed {
  const waitFor = (service: number) => policy.maxWaitMs ?? 1.5 * service
  const at = (rate: number, service: number): Load => ({
    arrivalsPerSecond: rate,
    serviceMs: service,
    batchSize,
    maxBatchDelayMs,
  })
  const workers = (rate: number, share: number) =>
    workersNeeded(at(rate, serviceMs), waitFor(serviceMs), share)
  // A queue seen once may be a coincidence of arrivals, and a backlog never asks for more than the arrivals do.
  const waiting = memory.waitingTicks >= 2 ? (pending ?? 0) : 0
  const drainMs = Math.max(DRAIN_MS, (memory.loading.aloneMs ?? 0) / 2)
  const backlog = Math.min((waiting * 1000) / drainMs, arrivals)
  const measuredMs = timeAtKnee(memory, policy) ?? measuredServiceTime(memory.demand) ?? serviceMs
  const lasting = offered && offered + Math.min((waiting * 1000) / POD_START_MS, offered)
  return {
    arrivals,
    serviceMs,
    steady: workers(arrivals, policy.waitProbability),
    now: workers(arrivals + backlog, policy.waitProbability),
    safely: workers(arrivals, policy.waitProbability * MARGIN),
    lasting: lasting === undefined ? undefined : at(lasting, measuredMs),
    waitMs: waitFor(measuredMs),
  }
}

/** What requests take at the knee, as long as what is measured is from more workers than that, which stand in each other's way. */
function timeAtKnee({ demand, knee }: PoolMemory, { minWorkers }: PoolPolicy): number | undefined {
  const most = Math.max(knee?.at ?? Infinity, minWorkers)
  return demand.samples.some(({ ready }) => ready > most) ? knee?.serviceMs : undefined
}

/**
 * The next worker count on the way up to `target`: all at once where workers are known to run beside each other, else no more
 * than twice as many, and no more loads together than fit well into the start-up timeout.
 */
export function nextStep(
  from: number,
  target: number,
  memory: PoolMemory,
  description: Description,
): number {
  const together = mayLoadTogether(memory.loading, description.startupTimeoutMs)
  // One more tells, by what is known better now, whether the ones before were of use.
  if (memory.unsure?.to === from) return Math.min(target, from + 1)
  // Twice as many tell for sure, by what is measured in half a minute, whether it still is the knee.
  if (memory.knee?.at === from) return Math.min(target, 2 * from, from + together)
  const queueHalfFull = (description.pending ?? 0) > (description.queueFree ?? Infinity)
  const proven = queueHalfFull ? Infinity : 2 * Math.max(1, from, memory.proven)
  return Math.min(target, proven, from + together)
}
