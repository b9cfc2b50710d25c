/** No pool is ever sized beyond this; it bounds the search. */
const MOST_WORKERS = 1000
/** Of a range of arrival rates, until what is left of it does not matter. */
const HALVINGS = 24

export interface Load {
  arrivalsPerSecond: number
  /** Time in the handler per job (a whole batch where batchSize > 1); milliseconds. */
  serviceMs: number
  batchSize: number
  maxBatchDelayMs: number
}

/**
 * The share of jobs that wait longer than `waitMs` with `workers` servers: Erlang-C with an exponential tail.
 * `offered` is arrival rate × service time, in busy workers. 1 when the workers cannot keep up.
 */
export function waitsLonger(
  workers: number,
  offered: number,
  serviceMs: number,
  waitMs: number,
): number {
  if (offered <= 0) return 0
  if (workers <= offered) return 1
  let blocking = 1
  for (let k = 1; k <= workers; k++) blocking = (offered * blocking) / (k + offered * blocking)
  const waits = blocking / (1 - (offered / workers) * (1 - blocking))
  return waits * Math.exp((-(workers - offered) * waitMs) / serviceMs)
}

/**
 * Jobs per second as the workers see them, and the number of workers beyond which none is ever busy. TorchServe forms one
 * batch at a time under one lock, so a batch leaves at most once per filling time, and more workers than
 * service time ÷ filling time only make the batches smaller.
 */
function batched(load: Load): { jobsPerSecond: number; useful: number } {
  if (load.batchSize <= 1) return { jobsPerSecond: load.arrivalsPerSecond, useful: MOST_WORKERS }
  const joining = (load.arrivalsPerSecond * load.maxBatchDelayMs) / 1000
  const perBatch = Math.min(load.batchSize, 1 + joining)
  const fillingMs = Math.min(
    load.maxBatchDelayMs,
    ((load.batchSize - 1) / Math.max(load.arrivalsPerSecond, 1e-9)) * 1000,
  )
  return {
    jobsPerSecond: load.arrivalsPerSecond / perBatch,
    useful: Math.max(1, Math.ceil(load.serviceMs / Math.max(fillingMs, 1e-9)) + 1),
  }
}

/** Workers that the load keeps busy, on average. */
export function keptBusy(load: Load): number {
  return (batched(load).jobsPerSecond * load.serviceMs) / 1000
}

/** The fewest workers with which no more than `share` of the jobs wait longer than `waitMs`; 0 without arrivals. */
export function workersNeeded(load: Load, waitMs: number, share: number): number {
  const { jobsPerSecond, useful } = batched(load)
  const offered = (jobsPerSecond * load.serviceMs) / 1000
  if (offered <= 0) return 0
  let workers = Math.floor(offered) + 1
  while (workers < MOST_WORKERS && waitsLonger(workers, offered, load.serviceMs, waitMs) > share) {
    workers++
  }
  return Math.min(workers, useful, MOST_WORKERS)
}

/** The most arrivals per second for which so many workers are enough, whatever arrives now; `workers` ≥ 1. */
export function mostArrivals(workers: number, load: Load, waitMs: number, share: number): number {
  let enough = 0
  let tooMany = (workers * Math.max(1, load.batchSize) * 1000) / load.serviceMs
  for (let halving = 0; halving < HALVINGS && enough < tooMany; halving++) {
    const arrivalsPerSecond = (enough + tooMany) / 2
    if (workersNeeded({ ...load, arrivalsPerSecond }, waitMs, share) <= workers)
      enough = arrivalsPerSecond
    else tooMany = arrivalsPerSecond
  }
  return enough
}
