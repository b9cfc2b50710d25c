/** Which resizes the kubelet accepts, and in which order: a node's memory is given to one pod at a time. */
import { podTotal, sameSpec, scaled, type Pod, type PodSpec, type ResourceList } from './objects.ts'
import { Amount } from './amount.ts'

export interface Allocated {
  pod: Pod
  /** The pod's spec with the resources that were accepted. */
  spec: PodSpec
  /** The generation they were accepted with. */
  generation: number
  pending: { reason: 'Deferred' | 'Infeasible'; message: string; generation: number } | undefined
  /** Since when it waits. */
  sinceMs: number
}

export class Allocation {
  readonly #pods = new Map<string, Allocated>()
  /** Asked each time, since it may change. */
  readonly #allocatable: () => ResourceList
  /** Why this node resizes nothing for good, as with a static memory manager; undefined: it does. */
  infeasible: string | undefined

  constructor(allocatable: () => ResourceList) {
    this.#allocatable = allocatable
  }

  /** @throws Error when the node has no room: a real kubelet would call the pod failed at once */
  add(pod: Pod, nowMs: number): Allocated {
    const { generation, uid } = pod.metadata
    const allocated = { pod, spec: pod.spec, generation, pending: undefined, sinceMs: nowMs }
    const lack = this.#lack(allocated, pod)
    if (lack) throw new Error(`Pod was rejected: ${lack.message}`)
    this.#pods.set(uid, allocated)
    return allocated
  }

  remove(uid: string): void {
    this.#pods.delete(uid)
  }

  /** Accepts what the pod asks for, or says why not. Returns whether anything was accepted. */
  consider(allocated: Allocated, pod: Pod, nowMs: number): boolean {
    allocated.pod = pod
    if (sameSpec(pod.spec, allocated.spec)) {
      allocated.pending = undefined
      return false
    }
    const { generation } = pod.metadata
    const refused = this.#refusal(allocated, pod)
    if (refused) {
      if (allocated.pending?.generation !== generation) allocated.sinceMs = nowMs
      allocated.pending = { ...refused, generation }
      return false
    }
    allocated.spec = pod.spec
    allocated.generation = generation
    allocated.pending = undefined
    return true
  }

  /** Those that wait for room, whose turn comes first first. */
  waiting(): Allocated[] {
    const rank = { Guaranteed: 0, Burstable: 1, BestEffort: 2 }
    return [...this.#pods.values()]
      .filter(({ pending }) => pending?.reason === 'Deferred')
      .toSorted(
        (one, other) =>
          Number(increases(one)) - Number(increases(other)) ||
          other.pod.spec.priority - one.pod.spec.priority ||
          rank[one.pod.status.qosClass] - rank[other.pod.status.qosClass] ||
          one.sinceMs - other.sinceMs,
      )
  }

  #refusal(allocated: Allocated, pod: Pod) {
    if (this.infeasible !== undefined) {
      return { reason: 'Infeasible', message: this.infeasible } as const
    }
    return increases({ pod, spec: allocated.spec }) ? this.#lack(allocated, pod) : undefined
  }

  #lack(allocated: Allocated, pod: Pod) {
    for (const resource of scaled) {
      const unit = resource === 'cpu' ? 'milli' : 'whole'
      const requested = podTotal(pod.spec, 'requests', resource)[unit]
      const capacity = Amount.of(this.#allocatable()[resource])[unit]
      const used = [...this.#pods.values()]
        .filter(other => other !== allocated)
        .reduce((sum, { spec }) => sum + podTotal(spec, 'requests', resource)[unit], 0)
      if (requested > capacity) {
        const message = `Node didn't have enough capacity: ${resource}, requested: ${requested}, capacity: ${capacity}`
        return { reason: 'Infeasible', message } as const
      }
      if (requested + used > capacity) {
        const message = `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`
        return { reason: 'Deferred', message } as const
      }
    }
    return undefined
  }
}

/** Only requests count: a limit alone is never too much. */
function increases({ pod, spec }: Pick<Allocated, 'pod' | 'spec'>): boolean {
  return scaled.some(resource =>
    podTotal(pod.spec, 'requests', resource).above(podTotal(spec, 'requests', resource)),
  )
}
