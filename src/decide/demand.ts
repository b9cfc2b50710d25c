import type { Counters } from '../model.ts'

/** How far back service times and throughput are looked up. */
const REMEMBER_MS = 60_000
/** The arrival rate is the mean over this time, or the smoothed rate where that is higher. */
const RATE_MS = 3_000
const SMOOTHING = 0.3
/** Pods follow slowly, and a few arrivals more or less must not move them. */
const STEADY_MS = 60_000
/** A TorchServe that had served before is watched for so long, or until so much arrived: by a few requests no pods are ordered. */
const WATCHED_MS = 45_000
const ENOUGH_ARRIVALS = 50
/** Below this many answers the handler's own time is trusted more than the counters. */
const ENOUGH_ANSWERS = 20
/** Service times within this factor of each other may well be of the same handler. */
const ALIKE = 1.5

/** What one tick saw of a pool, as sums since TorchServe started. */
export interface Sample {
  atMs: number
  requests: number
  /** Time in service summed over the answers, microseconds. */
  serviceUs: number
  /** Absent where the description is older than the counters: on GPUs TorchServe is asked only every 10 s. */
  pending: number | undefined
  predictionMs: number | undefined
  /** The same where it may have been another version's. */
  sharedPredictionMs?: number | undefined
  /** TorchServe may have refused requests: the counters count them, no answer follows. */
  rejecting: boolean
  ready: number
}

export interface Demand {
  samples: readonly Sample[]
  smoothed: number | undefined
  /** The last sample in which something arrived, was answered or waited; the first one, of which that is not known, counts. */
  busyMs: number | undefined
  /** Service time while the workers did not stand in each other's way; milliseconds. */
  uncontendedMs: number | undefined
  /** Service time as last known for sure; milliseconds. */
  surelyMs: number | undefined
}

export const noDemand: Demand = {
  samples: [],
  smoothed: undefined,
  busyMs: undefined,
  uncontendedMs: undefined,
  surelyMs: undefined,
}

export function sampleOf(
  counters: Counters,
  atMs: number,
  pool: Pick<Sample, 'pending' | 'rejecting' | 'ready'>,
): Sample {
  return {
    atMs,
    requests: counters.requests,
    serviceUs: counters.latencyUs - counters.queueUs,
    predictionMs: counters.predictionMs,
    sharedPredictionMs: counters.sharedPredictionMs,
    ...pool,
  }
}

/** Takes in one sample; sums that fell mean that TorchServe restarted, and nothing before counts. */
export function addSample(demand: Demand, sample: Sample): Demand {
  const last = demand.samples.at(-1)
  if (!last) return { ...demand, samples: [sample], busyMs: sample.atMs }
  if (sample.atMs <= last.atMs) return demand
  const restarted = sample.requests < last.requests || sample.serviceUs < last.serviceUs - 1
  if (restarted) return { ...demand, samples: [sample], smoothed: undefined, busyMs: sample.atMs }

  // A decoy of ours moves these gauges as a request does; only with an arrival is it taken for one.
  const reported =
    sample.requests > last.requests
      ? sample
      : { ...sample, predictionMs: undefined, sharedPredictionMs: undefined }
  const remembered = demand.samples.filter(old => sample.atMs - old.atMs <= REMEMBER_MS)
  const samples = [...remembered, reported]
  const rate = ((sample.requests - last.requests) * 1000) / (sample.atMs - last.atMs)
  const smoothed =
    demand.smoothed === undefined ? rate : demand.smoothed + SMOOTHING * (rate - demand.smoothed)
  const isStill = sample.requests === last.requests && sample.serviceUs === last.serviceUs
  const busyMs = isStill && !sample.pending ? demand.busyMs : sample.atMs
  const next = { ...demand, samples, smoothed, busyMs }
  const surelyMs = sureServiceTime(samples) ?? demand.surelyMs
  return { ...next, uncontendedMs: uncontended(next), surelyMs }
}

/** Samples of the last `ms`, with the one before them as the starting point. */
function latest(samples: readonly Sample[], ms: number): readonly Sample[] {
  const now = samples.at(-1)?.atMs ?? 0
  const first = samples.findLastIndex(sample => now - sample.atMs >= ms)
  return samples.slice(Math.max(0, first))
}

export interface Rates {
  /** Answers per second. */
  throughput: number
  /** What arrived and does not wait; where some was rejected, or what waits is not known, by the handlers' own times. */
  answers: number
  /** Whether they could be counted; else these are the most that there can have been. */
  sure: boolean
  /** The factor by which they may be wrong; 1 where they were counted. */
  doubt: number
  /** Mean number of requests in a handler: Little's law on the time spent there. */
  inService: number
  /** Mean time in a handler; absent without answers. */
  serviceMs: number | undefined
  /** In every sample work was waiting, or nearly all workers were busy. */
  saturated: boolean
  spanMs: number
}

/** What was served between the first and the last of the samples; undefined for fewer than two. */
export function ratesOf(samples: readonly Sample[]): Rates | undefined {
  const first = samples[0]
  const end = samples.at(-1)
  if (!first || !end || end.atMs <= first.atMs) return undefined
  const spanMs = end.atMs - first.atMs
  const serviceMs = (end.serviceUs - first.serviceUs) / 1000
  const { answers, doubt, sure } = answersOf(samples, first, end, serviceMs)
  const busy = serviceMs / spanMs
  const workers = samples.reduce((sum, sample) => sum + sample.ready, 0) / samples.length
  const waiting = samples.slice(1).every(sample => (sample.pending ?? 0) > 0)
  return {
    throughput: (answers * 1000) / spanMs,
    answers,
    sure,
    doubt,
    inService: busy,
    serviceMs: answers > 0 && serviceMs > 0 ? serviceMs / answers : undefined,
    saturated: waiting || (workers > 0 && busy >= 0.8 * workers),
    spanMs,
  }
}

function answersOf(samples: readonly Sample[], first: Sample, end: Sample, serviceMs: number) {
  const piledUp = (end.pending ?? 0) - (first.pending ?? 0)
  const counted = Math.max(0, end.requests - first.requests - piledUp)
  const rejected = samples.some(sample => sample.rejecting)
  const sure = !rejected && first.pending !== undefined && end.pending !== undefined
  const reported = sure ? undefined : reportedServiceTime(samples)
  if (reported === undefined) return { answers: counted, sure, doubt: 1 }
  return { answers: serviceMs / reported, sure: true, doubt: doubtOf(reportsOf(samples)) }
}

/** Requests arriving per second; undefined until two samples are there. */
export function arrivalRate(demand: Demand): number | undefined {
  const recent = latest(demand.samples, RATE_MS)
  const first = recent[0]
  const end = recent.at(-1)
  if (!first || !end || end.atMs <= first.atMs) return undefined
  const mean = ((end.requests - first.requests) * 1000) / (end.atMs - first.atMs)
  // An exponential average never reaches zero, and an idle model must be seen as idle.
  const smoothed = (demand.smoothed ?? 0) < 0.01 ? 0 : (demand.smoothed ?? 0)
  return Math.max(mean, smoothed)
}

/**
 * The mean over a longer while; undefined until it was watched for long enough. Before the first request of a TorchServe none
 * arrived, and that counts: where a new pod takes over a part of the load, the others tell of it for as long as the new one does
 * not yet.
 */
export function steadyRate(demand: Demand): number | undefined {
  const recent = latest(demand.samples, STEADY_MS)
  const first = recent[0]
  const end = recent.at(-1)
  if (!first || !end || end.atMs <= first.atMs) return undefined
  const arrived = end.requests - first.requests
  const spanMs = end.atMs - first.atMs
  if (first.requests === 0) return (arrived * 1000) / Math.max(spanMs, STEADY_MS)
  return spanMs < WATCHED_MS && arrived < ENOUGH_ARRIVALS ? undefined : (arrived * 1000) / spanMs
}

/** Busy workers over the last `ms`. */
export function busyWorkers(demand: Demand, ms: number): number {
  return ratesOf(latest(demand.samples, ms))?.inService ?? 0
}

/**
 * Time in the handler per job, milliseconds; undefined until one was served. From the counters where enough was answered and
 * nothing was refused, else the median of what handlers reported, else what is likely. Held within half and twice of what it was without
 * contention: a service time that grows with the workers must not ask for more of them.
 */
export function serviceTime(demand: Demand): number | undefined {
  const measured = measuredServiceTime(demand)
  const base = demand.uncontendedMs
  if (measured === undefined || base === undefined) return measured ?? base
  return Math.min(Math.max(measured, base / 2), base * 2)
}

/** The same as it is, contention and all: pods do not stand in each other's way, and what this one can take is found by it. */
export function measuredServiceTime({ samples, surelyMs }: Demand): number | undefined {
  const sureMs = sureServiceTime(samples)
  if (sureMs !== undefined) return sureMs
  const leastMs = ratesOf(samples)?.serviceMs
  // Over gRPC nothing is counted that would tell it.
  if (leastMs !== undefined && !mayHaveRefused(samples)) return leastMs
  return Math.max(leastMs ?? 0, likelyServiceTime(samples, surelyMs, leastMs) ?? 0) || undefined
}

function sureServiceTime(samples: readonly Sample[]): number | undefined {
  const rates = mayHaveRefused(samples) ? undefined : ratesOf(samples)
  // TorchServe counts no answer over gRPC: where there are no others their handlers’ own time is all that is known.
  if (rates?.serviceMs && rates.answers >= ENOUGH_ANSWERS) return rates.serviceMs
  return reportedServiceTime(samples)
}

function mayHaveRefused(samples: readonly Sample[]): boolean {
  return samples.some(sample => sample.rejecting)
}

/**
 * By reports that may be another version's: what was known for sure before, if some of them are still like it, else their mean.
 * `leastMs`: what it was if all requests were answered and none refused; shorter reports are not its own.
 */
function likelyServiceTime(
  samples: readonly Sample[],
  surelyMs: number | undefined,
  leastMs = 0,
): number | undefined {
  const reports = samples
    .flatMap(({ sharedPredictionMs }) => sharedPredictionMs || [])
    .filter(ms => ms >= leastMs)
  if (reports.length === 0) return surelyMs
  const isStillSo = (known: number) => reports.some(ms => Math.max(ms / known, known / ms) < ALIKE)
  if (surelyMs !== undefined && isStillSo(surelyMs)) return surelyMs
  return reports.reduce((sum, ms) => sum + ms, 0) / reports.length
}

function reportsOf(samples: readonly Sample[]): number[] {
  return samples.flatMap(({ predictionMs }) =>
    predictionMs && predictionMs > 0 ? predictionMs : [],
  )
}

/** The median of what handlers reported. */
function reportedServiceTime(samples: readonly Sample[]): number | undefined {
  const reported = reportsOf(samples).toSorted((a, b) => a - b)
  return reported[Math.floor(reported.length / 2)]
}

/** The factor by which the median of reports may be wrong, by how far they lie apart; few of them tell little of that. */
function doubtOf(reports: readonly number[]): number {
  const [median = 0] = reports.toSorted((a, b) => a - b).slice(Math.floor(reports.length / 2))
  const apart = (Math.max(...reports) - Math.min(...reports)) / median
  return 1 + Math.max(apart, 0.5 / reports.length) / Math.sqrt(reports.length)
}

/** What so many workers did before a growth, to hold it against. */
export interface Baseline {
  serviceMs: number
  /** Answers per second; 0 where too few were seen to tell. */
  throughput: number
  /** The factor by which they may be wrong. */
  doubt: number
  /** Their GPU had no time left; false or absent where it had, or where that is not known. */
  gpuFull?: boolean
}

/** Undefined where nothing is known: of few answers the counters tell a service time that is much too short. */
export function baselineOf(samples: readonly Sample[]): Baseline | undefined {
  const rates = ratesOf(samples)
  if (rates?.serviceMs && rates.sure && rates.answers >= ENOUGH_ANSWERS) {
    const { doubt, serviceMs, throughput } = rates
    return { serviceMs, throughput, doubt }
  }
  const serviceMs = reportedServiceTime(samples)
  if (serviceMs === undefined) return undefined
  return { serviceMs, throughput: 0, doubt: doubtOf(reportsOf(samples)) }
}

/** A single worker cannot be in its own way, nor can workers half of which are idle. */
function uncontended(demand: Demand): number | undefined {
  const recent = latest(demand.samples, 10_000)
  const rates = mayHaveRefused(recent) ? undefined : ratesOf(recent)
  const fewest = Math.min(...recent.map(sample => sample.ready))
  const most = Math.max(...recent.map(sample => sample.ready))
  if (!rates?.serviceMs || rates.answers < ENOUGH_ANSWERS) return demand.uncontendedMs
  const alone = most <= 1 || rates.inService <= fewest / 2
  return alone ? rates.serviceMs : demand.uncontendedMs
}
