/** What can be seen of the kubelet: whether the container is fit for a resize, and what became of one. */
import type { MemoryResources, PodState } from '../../model.ts'
import { seconds } from '../words.ts'
import { same } from './amounts.ts'
import type { Ordered, ResizeView } from './ruling.ts'

/** The node may find room within this time, by pods that are just leaving. */
const DEFERRED_MS = 15_000
/** A refused decrease looks like one under way for up to 17 s. */
const ACTING_MS = 30_000
/** A kubelet that was down looks at its pods 30 s after it is back. */
const SILENT_MS = 60_000
const PAGE_BYTES = 65_536

/** Why the container must not be resized now, if it must not: a sentence without its full stop. */
export function unfitness(pod: PodState): { text: string; lasts: boolean } | undefined {
  const { container, phase, qosClass, terminating } = pod
  const now = (text: string) => ({ text, lasts: false })
  const always = (text: string) => ({ text, lasts: true })
  if (terminating) return now('The pod is being deleted; its memory is left as it is')
  if (container.restartsOnResize) {
    return always(
      'A change of memory would restart the container (resizePolicy RestartContainer), so there is none',
    )
  }
  if (qosClass === 'BestEffort') {
    return always('The pod has no requests (BestEffort), so it holds no memory to change')
  }
  if (phase !== 'Running' || !container.running) {
    return now('The container is not running; a change now would reach only half of its cgroups')
  }
  return undefined
}

export type Progress =
  { state: 'done' } | { state: 'waiting'; why: string } | { state: 'refused'; why: string }

/**
 * What became of an accepted wish. Done is only what the kubelet reports as actual and, where it can be read, the cgroup has:
 * the allocated amount flips even where the kubelet then refuses.
 */
export function progressOf({ sinceMs, action }: Ordered, view: ResizeView): Progress {
  const { nowMs, pod } = view
  const elapsed = nowMs - sinceMs
  const { pending, inProgress } = pod
  if (pending && isCurrent(pending.observedGeneration, pod)) {
    const why = `the kubelet says ${pending.reason}: ${pending.message}`
    const mayCome = pending.reason === 'Deferred' && elapsed < DEFERRED_MS
    return { state: mayCome ? 'waiting' : 'refused', why }
  }
  if (inProgress && isCurrent(inProgress.observedGeneration, pod)) {
    if (inProgress.reason !== '') {
      const isTransient = /missing (pod|container).* memory usage/.test(inProgress.message)
      const why = `the kubelet says ${inProgress.reason}: ${inProgress.message}`
      return { state: isTransient && elapsed < ACTING_MS ? 'waiting' : 'refused', why }
    }
    if (elapsed < ACTING_MS) return { state: 'waiting', why: 'the kubelet is at it' }
    return { state: 'refused', why: `the kubelet has been at it for ${seconds(elapsed)}` }
  }
  const hasLooked = isCurrent(pod.observedGeneration, pod)
  if (hasLooked && !pending && !inProgress && isThere(action.to, view)) return { state: 'done' }
  if (elapsed < SILENT_MS) return { state: 'waiting', why: 'waiting for the kubelet' }
  return { state: 'refused', why: `the kubelet has not acted for ${seconds(elapsed)}` }
}

/** Before Kubernetes 1.34 nothing says which wish the kubelet means. */
export function isCurrent(observed: number | undefined, pod: PodState): boolean {
  return observed === undefined || observed >= pod.generation
}

function isThere(to: MemoryResources, { cgroup, memory, pod }: ResizeView): boolean {
  const { actual, allocatedRequestBytes, desired } = pod.container
  const has = { requestBytes: allocatedRequestBytes, limitBytes: actual?.limitBytes }
  if (!actual || !same(desired, to) || !same(has, to)) return false
  if (to.limitBytes === undefined) return true
  if (cgroup.state !== 'fresh') return !memory.seesCgroup
  // The kernel rounds down to whole pages.
  return Math.abs((cgroup.value.limitBytes ?? Infinity) - to.limitBytes) < PAGE_BYTES
}
