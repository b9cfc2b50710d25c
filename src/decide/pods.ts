/** The load in pods such as this one: what pods are scaled by when workers are not enough. */
import type { Refusal } from '../model.ts'
import type { Ledger } from './ledger.ts'
import { refusalOf } from './refusals.ts'
import type { View } from './view.ts'

/** Where one request is not the work of one worker for a while, arrivals and service time do not tell the load. */
const unmeasured: ReadonlySet<Refusal> = new Set(['stateful', 'continuous_batching', 'job_ticket'])

const isMeasured = ({ description: { refusal } }: Pick<View, 'description'>) =>
  refusal === undefined || !unmeasured.has(refusal)

/** The most workers that the pool can come to have, however many it has now; those it has where it is not scaled. */
export function usableOf(view: View): number {
  if (refusalOf(view)) return Math.max(1, view.listed)
  const { census, gpu, memory, memoryMost, policy } = view
  // Also when they may be tried again: were they forgotten, pods would go, and their load would only meet them again.
  const knee = memory.knee?.most ?? Infinity
  const ceiling = memory.ceiling?.most ?? Infinity
  const live = census.ready + census.loading
  // Where the GPU stays unknown no worker is added, and pods must be; where it is being measured nothing is known yet.
  const unknown =
    gpu?.soon || policy.gpuMemoryUnknown === 'grow' ? Infinity : Math.max(live, policy.minWorkers)
  const onGpu = gpu ? (gpu.fits === undefined ? unknown : live + gpu.fits) : Infinity
  // A knee takes no worker that the minimum asks for.
  const helpful = Math.max(Math.min(policy.maxWorkers, knee), policy.minWorkers)
  return Math.max(1, Math.min(helpful, ceiling, memoryMost, onGpu))
}

/** One pool's load by what its usable workers can take; never clipped. Undefined: not known. */
export function demandOf(view: View): number | undefined {
  return view.needed && isMeasured(view) ? view.needed.filled / usableOf(view) : undefined
}

/**
 * The same of all pools: that of the pool with the most, or of the memory that they share. Undefined while that of any is not
 * known: it might be the one.
 */
export function podDemand(views: readonly View[], ledger: Ledger): number | undefined {
  const measured = views.filter(isMeasured)
  const demands = measured.map(demandOf)
  if (demands.length === 0 || demands.includes(undefined)) return undefined
  const scaled = measured.filter(view => refusalOf(view) === undefined)
  const filled = new Map(scaled.map(({ key, needed }) => [key, needed?.filled ?? 0]))
  return Math.max(...demands.map(demand => demand ?? 0), ledger.share(filled) ?? 0)
}
