/** What a look at the pod teaches, before anything is decided. */
import type { MemoryPolicy } from '../../config.ts'
import type { PodSeen, PodState } from '../../model.ts'
import { distanceIn } from './amounts.ts'
import { isCurrent, unfitness } from './kubelet.ts'
import type { Ordered, ResizeMemory } from './ruling.ts'

/** A container that was killed for want of memory this long ago may have been resized while it was down. */
const KILLED_LATELY_MS = 10 * 60_000
/** A pod that still shows an older limit after it was healed is left alone for so long. */
const HEAL_AGAIN_MS = 60_000

export function find(
  memory: ResizeMemory,
  { state, memory: cgroup }: PodSeen,
  policy: MemoryPolicy,
  nowMs: number,
): ResizeMemory {
  const seesCgroup = memory.seesCgroup || cgroup.state === 'fresh'
  if (state.state !== 'fresh') {
    // Nobody can tell what the kubelet does meanwhile, nor can it say: its time begins when the pod is seen again.
    const ordered = memory.ordered && { ...memory.ordered, sinceMs: nowMs }
    return { ...memory, seesCgroup, ordered }
  }
  const pod = state.value
  const unfit = unfitness(pod)
  const isFit = unfit === undefined
  const isOthers = pod.peers.some(({ wroteAtMs }) => wroteAtMs === undefined)
  const isOurs = policy.maxMemory !== undefined && !unfit?.lasts && !isOthers
  return {
    ...memory,
    seesCgroup,
    // Where the agent changes nothing it could set nothing right, and workers scale within what is there.
    suspect: isOurs && isSuspect(memory, pod, isFit, nowMs),
    restartCount: pod.container.restartCount,
    distance: memory.distance ?? distanceIn(pod.container.desired),
    // Whoever sets it meanwhile, what is found when the container is back is taken as it is.
    ...(isFit ? {} : { ordered: unanswered(memory.ordered), expected: undefined }),
  }
}

/** What may still be sent; a second one beside it would be taken for it, or for somebody else's. */
function unanswered(ordered: Ordered | undefined): Ordered | undefined {
  return ordered?.answeredMs === undefined ? ordered : undefined
}

/** A resize that meets a container which is down sets the container's cgroup and not the pod's, which nobody can see. */
function isSuspect(memory: ResizeMemory, pod: PodState, isFit: boolean, nowMs: number): boolean {
  const { lastTermination, restartCount } = pod.container
  const hasRestarted = memory.restartCount !== restartCount
  if (memory.suspect) return true
  if (memory.ordered) return !isFit || hasRestarted
  const healedMs = memory.healedMs ?? Number.NEGATIVE_INFINITY
  if (isLeftBehind(pod) && nowMs - healedMs >= HEAL_AGAIN_MS) return true
  // Whoever changed it may have done so while it was down, an agent before this one included.
  const wasChanged = pod.generation > 1
  const finishedMs = lastTermination?.finishedAtMs ?? 0
  const wasKilled = lastTermination?.reason === 'OOMKilled' && nowMs - finishedMs < KILLED_LATELY_MS
  return wasChanged && hasRestarted && wasKilled
}

/** Not while the kubelet has still to act. */
function isLeftBehind(pod: PodState): boolean {
  const { container, inProgress, observedGeneration, pending, podLimitBytes = Infinity } = pod
  const isActing = pending !== undefined || inProgress !== undefined
  const isBelow = podLimitBytes < (container.desired.limitBytes ?? 0)
  return isBelow && !isActing && isCurrent(observedGeneration, pod)
}
