/** Requests and limits that keep the pod's QoS class, its cap, and what is in use. */
import type { MemoryPolicy } from '../../config.ts'
import type {
  ContainerMemory,
  MemoryResources,
  PodState,
  Reading,
  ResizeAction,
} from '../../model.ts'
import { inMib } from '../words.ts'

const MIB = 2 ** 20
/** A limit is not lowered to what is in use or near it: some kubelets fall over that, and all of them refuse it. */
const ABOVE_USE = 1.05
const ABOVE_USE_BYTES = 16 * MIB

/** How far the limit is above the request; 0 without one of them. */
export function distanceIn({ requestBytes, limitBytes }: MemoryResources): number {
  return limitBytes === undefined ? 0 : limitBytes - (requestBytes ?? limitBytes)
}

export function same(one: MemoryResources, other: MemoryResources): boolean {
  return one.requestBytes === other.requestBytes && one.limitBytes === other.limitBytes
}

/**
 * What to ask for so that `bytes` may be used. Guaranteed: request and limit together. Burstable: the request, and a limit at
 * the distance that the user gave it, or where it is; where there is none, none.
 */
export function amountsFor(
  pod: PodState,
  bytes: number,
  policy: MemoryPolicy,
  distance: number,
): MemoryResources {
  const { maxMemory = Infinity, minMemory = 0 } = policy
  const { limitBytes } = pod.container.desired
  const wanted = Math.min(Math.max(bytes, minMemory), maxMemory)
  if (pod.qosClass === 'Guaranteed') return { requestBytes: wanted, limitBytes: wanted }
  if (limitBytes === undefined) return { requestBytes: wanted, limitBytes: undefined }
  // Equal amounts could make the pod Guaranteed, which the API server refuses.
  const apart = Math.min(distance, MIB)
  const least =
    policy.memoryLimit === 'keep' ? Math.max(limitBytes, wanted + apart) : wanted + distance
  const limit = Math.min(least, maxMemory)
  return { requestBytes: Math.min(wanted, limit - apart), limitBytes: limit }
}

/** No amount below what is there. */
export function raised(desired: MemoryResources, wanted: MemoryResources): MemoryResources {
  return {
    requestBytes: larger(desired.requestBytes, wanted.requestBytes),
    limitBytes: larger(desired.limitBytes, wanted.limitBytes),
  }
}

/** No amount above what is there, and no limit near what is in use, or at all where that is not known. */
export function lowered(
  pod: PodState,
  wanted: MemoryResources,
  cgroup: Reading<ContainerMemory>,
  mayLowerLimit: boolean,
): MemoryResources {
  const { requestBytes, limitBytes } = pod.container.desired
  const request = smaller(requestBytes, wanted.requestBytes)
  if (limitBytes === undefined) return { requestBytes: request, limitBytes }
  const used = mayLowerLimit && cgroup.state === 'fresh' ? cgroup.value.usageBytes : Infinity
  const above = Math.ceil((used * ABOVE_USE + ABOVE_USE_BYTES) / MIB) * MIB
  const limit = Math.min(limitBytes, Math.max(wanted.limitBytes ?? limitBytes, above))
  return { requestBytes: pod.qosClass === 'Guaranteed' ? limit : request, limitBytes: limit }
}

/** What the kubelet has, after it refused a wish; or as much of it as can be gone back to. */
export function takenBack(
  pod: PodState,
  { kind, from, to }: ResizeAction,
  limitOnlyRises: boolean,
): MemoryResources {
  const { actual, allocatedRequestBytes, desired } = pod.container
  const had = actual?.limitBytes ?? from.limitBytes
  const limitBytes = limitOnlyRises ? larger(desired.limitBytes, had) : had
  if (pod.qosClass === 'Guaranteed') return { requestBytes: limitBytes, limitBytes }
  // The kubelet takes a lower request at once, even where it then refuses the limit.
  const request = kind === 'lower' ? to.requestBytes : (allocatedRequestBytes ?? from.requestBytes)
  return { requestBytes: request, limitBytes }
}

/**
 * The smallest real change, upwards unless that is above the cap: then the request alone falls, and in a Guaranteed pod, if that
 * is safe, the limit with it. Undefined: there is none.
 */
export function healed(
  pod: PodState,
  { maxMemory = Infinity }: MemoryPolicy,
  cgroup: Reading<ContainerMemory>,
  mayLowerLimit: boolean,
): MemoryResources | undefined {
  const { requestBytes, limitBytes } = pod.container.desired
  const by = (bytes: number | undefined, step: number) =>
    bytes === undefined ? undefined : bytes + step
  if (Math.max(requestBytes ?? 0, limitBytes ?? 0) + MIB <= maxMemory) {
    return { requestBytes: by(requestBytes, MIB), limitBytes: by(limitBytes, MIB) }
  }
  const less = pod.qosClass === 'Guaranteed' ? by(limitBytes, -MIB) : limitBytes
  const to = { requestBytes: by(requestBytes, -MIB), limitBytes: less }
  return same(lowered(pod, to, cgroup, mayLowerLimit), to) ? to : undefined
}

/** As `512 MiB of 1024 MiB`: request and limit. */
export function amountsText({ requestBytes, limitBytes }: MemoryResources): string {
  if (limitBytes === undefined) return inMib(requestBytes ?? 0)
  if (requestBytes === undefined || requestBytes === limitBytes) return inMib(limitBytes)
  return `${inMib(requestBytes)} (limit ${inMib(limitBytes)})`
}

function larger(there: number | undefined, wanted: number | undefined): number | undefined {
  return wanted === undefined ? there : Math.max(there ?? 0, wanted)
}

function smaller(there: number | undefined, wanted: number | undefined): number | undefined {
  return there === undefined || wanted === undefined ? there : Math.min(there, wanted)
}
