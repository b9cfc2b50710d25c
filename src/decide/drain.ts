/** Whether TorchServe still has something to do for a client, before its pod goes. */
import type { DrainRequest, Drained, Observation } from '../model.ts'
import { serviceTime } from './demand.ts'
import { hold, type Ruling } from './ruling.ts'
import type { View } from './view.ts'
import { seconds } from './words.ts'

/** Proxies go on sending for a few seconds after a pod has been deleted. */
const QUIET_MS = 5_000
/** A request that began with the last arrival is taken to be answered after so many service times. */
const SERVICES = 3

/**
 * What keeps the pool from being empty; undefined: nothing. A worker that is busy does not show by itself, so it is empty when
 * for longer than a request takes nothing arrived, nothing was answered and nothing waited.
 */
function busyWith(view: View): string | undefined {
  const { counters, description, fresh, memory } = view
  const { samples } = memory.demand
  const last = samples.at(-1)
  if (!fresh) return 'TorchServe’s description is not fresh'
  if (counters.state !== 'fresh' || !last) return 'no arrivals are seen'
  if (view.waiting > 0) return `${view.waiting} waiting`
  const answeredUs = counters.value.latencyUs - counters.value.queueUs
  if (counters.value.requests === 0) return undefined
  if (answeredUs <= 0) return 'a first request that has not been answered'
  const mean = serviceTime(memory.demand) ?? answeredUs / 1000 / counters.value.requests
  const longest = Math.max(mean, ...samples.map(({ predictionMs }) => predictionMs ?? 0))
  const batching = description.batchSize > 1 ? description.maxBatchDelayMs : 0
  const quietMs = Math.max(QUIET_MS, batching + SERVICES * longest)
  const stillMs = last.atMs - (memory.demand.busyMs ?? last.atMs)
  if (stillMs >= quietMs) return undefined
  return `quiet for ${Math.floor(stillMs / 1000)} of ${seconds(quietMs)}`
}

/** How far the drain is; undefined where nobody asked for one. */
export function drain(
  seen: Observation,
  views: readonly View[],
  nowMs: number,
): Drained | undefined {
  const request = seen.drain
  if (!request) return undefined
  if (seen.torchserve.state !== 'fresh')
    return { request, done: false, because: 'TorchServe cannot be read' }
  if (views.length < seen.pools.length)
    return { request, done: false, because: 'Not all models are known' }
  const busy = views.flatMap(view => {
    const why = busyWith(view)
    return why === undefined ? [] : `${view.key}: ${why}`
  })
  if (busy.length > 0) return { request, done: false, because: busy.join('; ') }
  const leftMs = request.sinceMs + QUIET_MS - nowMs
  if (leftMs <= 0) return { request, done: true, because: 'No request waits or is served' }
  return { request, done: false, because: `Requests may come for ${seconds(leftMs)} more` }
}

/** A worker that would go for want of load has to stay until the pod goes; those that help with the queue may come. */
export function whileDraining(
  view: View,
  ruling: Ruling,
  request: DrainRequest | undefined,
): Ruling {
  if (!request || (ruling.action && ruling.action.kind !== 'shrink')) return ruling
  if (!ruling.action && !resting.has(ruling.reason)) return ruling
  const because = `The pod is being drained, so no worker is taken (${busyWith(view) ?? 'nothing left to serve'}).`
  return hold(view, 'draining', because, ruling.action ? view.memory : ruling.memory)
}

/** Reasons to hold that say nothing while the pod goes. */
const resting: ReadonlySet<Ruling['reason']> = new Set([
  'steady',
  'hold_window',
  'consolidation',
  'cooldown',
])
