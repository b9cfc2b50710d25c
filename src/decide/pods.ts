/** The load in pods such as this one: what pods are scaled by when workers are not enough. */
import type { PoolKey, Refusal } from '../model.ts'
import { mostArrivals, workersNeeded } from './erlang.ts'
import type { Ledger } from './ledger.ts'
import { refusalOf } from './refusals.ts'
import type { View } from './view.ts'

/** Where one request is not the work of one worker for a while, arrivals and service time do not tell the load. */
const unmeasured: ReadonlySet<Refusal> = new Set(['stateful', 'continuous_batching', 'job_ticket'])

/** Of the memory, with what arithmetic on fractions may add. */
const FULL = 1 + 1e-6
/** Bounds of the search for the number of pods. */
const DOUBLINGS = 20
const HALVINGS = 16

/** Whether arrivals and service time tell its load. */
export const isMeasured = ({ description: { refusal } }: Pick<View, 'description'>) =>
  refusal === undefined || !unmeasured.has(refusal)

/** The most workers that the pool can come to have, however many it has now; those it has where it is not scaled. */
export function usableOf(view: View): number {
  if (refusalOf(view)) return Math.max(1, view.listed)
  const { census, gpu, memory, memoryMost, policy } = view
  // Also when they may be tried again: were they forgotten, pods would go, and their load would only meet them again.
  const knee = memory.knee?.at ?? Infinity
  const ceiling = memory.ceiling?.at ?? Infinity
  const live = census.ready + census.loading
  // Where the GPU stays unknown no worker is added, and pods must be; where it is being measured nothing is known yet.
  const grows = gpu?.soon || policy.gpuMemoryUnknown === 'grow'
  const unknown = grows ? Infinity : Math.max(live, policy.minWorkers)
  // A sick GPU gets not even the minimum, whatever the policy.
  const more = gpu?.trouble === undefined ? unknown : live
  const onGpu = gpu ? (gpu.fits === undefined ? more : live + gpu.fits) : Infinity
  // A knee takes no worker that the minimum asks for.
  const helpful = Math.max(Math.min(policy.maxWorkers, knee), policy.minWorkers)
  return Math.max(1, Math.min(helpful, ceiling, memoryMost, onGpu))
}

/**
 * One pool's load by the most that its usable workers can take, or those it has where nothing is done; never clipped. In proportion to the arrivals, so that the sum
 * over the pods is the same however the load is spread over them. Undefined: not known.
 */
export function demandOf(view: View): number | undefined {
  if (!view.needed?.lasting || !isMeasured(view)) return undefined
  const { lasting, waitMs } = view.needed
  if (lasting.arrivalsPerSecond === 0) return 0
  const { waitProbability } = view.policy
  const workers = view.acts ? usableOf(view) : Math.max(1, view.listed)
  return lasting.arrivalsPerSecond / mostArrivals(workers, lasting, waitMs, waitProbability)
}

/**
 * The same of all pools: in how many pods such as this one the load would just fit, each pool's into its workers and all into the
 * memory and the GPUs that they share. While that of any of the `pools` is not known it might be the one: undefined then, unless
 * the others alone ask for more than this pod, which one that never answers must not keep from them.
 */
export function podDemand(
  views: readonly View[],
  pools: number,
  ledger: Ledger,
): number | undefined {
  const measured = views.filter(isMeasured)
  const demands = measured.map(demandOf)
  const isWhole = views.length === pools && demands.length > 0 && !demands.includes(undefined)
  const demand = togetherOf(measured, demands, ledger)
  return isWhole || demand > 1 ? demand : undefined
}

function togetherOf(
  measured: readonly View[],
  demands: readonly (number | undefined)[],
  ledger: Ledger,
): number {
  const byWorkers = Math.max(0, ...demands.map(demand => demand ?? 0))
  const scaled = measured.filter(view => view.acts && refusalOf(view) === undefined)
  const fits = (pods: number) => {
    const workers = new Map(scaled.map(view => [view.key, workersIn(pods, view)]))
    return (ledger.share(workers) ?? 0) <= FULL && gpuShare(scaled, workers) <= FULL
  }
  return byWorkers === 0 || fits(byWorkers) ? byWorkers : fewest(byWorkers, fits)
}

/**
 * Which part of the GPUs' room pools would take that had so many workers each, beside those that are there; a first one counts as
 * fitting. What is not known takes nothing: then a pool's own usable workers say that it cannot grow.
 */
function gpuShare(views: readonly View[], workersOf: ReadonlyMap<PoolKey, number>): number {
  const shares = views.map(({ census, gpu, key }) => {
    const live = Math.max(1, census.ready + census.loading)
    const more = (workersOf.get(key) ?? 0) - live
    return gpu?.fits === undefined || more <= 0 ? 0 : more / gpu.fits
  })
  return shares.reduce((sum, share) => sum + share, 0)
}

/** Workers that a pool needs in each of so many pods. */
function workersIn(pods: number, { needed, policy }: View): number {
  if (!needed?.lasting) return 0
  const { lasting, waitMs } = needed
  const arrivalsPerSecond = lasting.arrivalsPerSecond / pods
  return workersNeeded({ ...lasting, arrivalsPerSecond }, waitMs, policy.waitProbability)
}

/** The fewest pods that are enough, given a number that is not. */
function fewest(tooFew: number, enough: (pods: number) => boolean): number {
  let below = tooFew
  let above = 2 * tooFew
  for (let doubling = 0; doubling < DOUBLINGS && !enough(above); doubling++) {
    below = above
    above *= 2
  }
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (below + above) / 2
    if (enough(middle)) above = middle
    else below = middle
  }
  return above
}
