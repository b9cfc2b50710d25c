/** What a look at the pod teaches, before anything is decided. */
import type { PodSeen, PodState } from '../../model.ts'
import { distanceIn } from './amounts.ts'
import { unfitness } from './kubelet.ts'
import type { ResizeMemory } from './ruling.ts'

/** A container that was killed for want of memory this long ago may have been resized while it was down. */
const KILLED_LATELY_MS = 10 * 60_000

export function find(
  memory: ResizeMemory,
  { state, memory: cgroup }: PodSeen,
  nowMs: number,
): ResizeMemory {
  const seesCgroup = memory.seesCgroup || cgroup.state === 'fresh'
  if (state.state !== 'fresh') return { ...memory, seesCgroup }
  const pod = state.value
  const isFit = unfitness(pod) === undefined
  return {
    ...memory,
    seesCgroup,
    suspect: isSuspect(memory, pod, isFit, nowMs),
    restartCount: pod.container.restartCount,
    distance: memory.distance ?? distanceIn(pod.container.desired),
    // Whoever sets it meanwhile, what is found when the container is back is taken as it is.
    ...(isFit ? {} : { ordered: undefined, expected: undefined }),
  }
}

/** A resize that meets a container which is down sets the container's cgroup and not the pod's, which nobody can see. */
function isSuspect(memory: ResizeMemory, pod: PodState, isFit: boolean, nowMs: number): boolean {
  const { desired, lastTermination, restartCount } = pod.container
  const isUnderWay = memory.ordered !== undefined
  const leftBehind = (pod.podLimitBytes ?? Infinity) < (desired.limitBytes ?? 0)
  if (memory.suspect || (leftBehind && !isUnderWay)) return true
  if (memory.restartCount === undefined) {
    const finishedMs = lastTermination?.finishedAtMs ?? 0
    return lastTermination?.reason === 'OOMKilled' && nowMs - finishedMs < KILLED_LATELY_MS
  }
  return isUnderWay && (!isFit || memory.restartCount !== restartCount)
}
