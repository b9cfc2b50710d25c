/** What this cluster does not allow although it is valid: 403. In the order and the words of the real plugins. */
import { Amount } from './amount.ts'
import { isSame } from './fields.ts'
import {
  containersOf,
  isSidecar,
  kinds,
  podTotal,
  sameAmount,
  sameResources,
  scaled,
  type Kind,
  type Pod,
  type PodSpec,
  type ResourceList,
} from './objects.ts'
import { forbidden, joined, type Response } from './status.ts'
import type { Profile } from './versions.ts'

export interface NodeInfo {
  allocatable: ResourceList
  /** `linux`; undefined: the node has no label that says it. */
  os?: string
  /** What the kubelet says it can beyond the ordinary. */
  declaredFeatures?: readonly string[]
}

interface LimitRange {
  type: 'Container' | 'Pod'
  max?: ResourceList
  min?: ResourceList
}

/** By names as `requests.memory`, `memory`, `limits.memory`, `requests.cpu`. */
interface Quota {
  name: string
  hard: ResourceList
}

/** What a namespace holds its pods to. */
export interface Namespace {
  limitRanges: LimitRange[]
  quotas: Quota[]
}

/** Who asks. `podUid`: the token is bound to a pod. `exempt`: may resize any pod. */
export interface Identity {
  user: string
  podUid?: string
  exempt?: boolean
}

export interface Review {
  old: Pod
  changed: Pod
  /** Whether anything but notation differs. */
  changes: boolean
  by: Identity
  profile: Profile
  nodes: ReadonlyMap<string, NodeInfo>
  namespace: Namespace
  /** The other pods of the namespace, as far as quotas count them. */
  others: readonly Pod[]
  /** Whether Stoker's policy is installed (k8s/policies). */
  ownPodPolicy: boolean
}

/** The first refusal; undefined: admitted. */
export function admit(review: Review): Response | undefined {
  const { name } = review.old.metadata
  const ranges = review.namespace.limitRanges.flatMap(range =>
    outOfRange(range, review.changed.spec),
  )
  if (ranges.length > 0) return forbidden(name, joined(ranges))
  return (
    (review.changes ? (missingFeature(review) ?? onNode(review)) : undefined) ??
    (review.ownPodPolicy ? againstPolicy(review) : undefined) ??
    (review.changes ? overQuota(review) : undefined)
  )
}

function outOfRange({ type, max, min }: LimitRange, spec: PodSpec): string[] {
  const subjects =
    type === 'Pod'
      ? [(kind: Kind, name: string) => podTotal(spec, kind, name)]
      : containersOf(spec).map(({ resources }) => (kind: Kind, name: string) => {
          const amount = resources[kind]?.[name]
          return amount === undefined ? undefined : Amount.of(amount)
        })
  return subjects.flatMap(of => [
    ...Object.entries(max ?? {}).flatMap(([name, most]) => {
      const said = `maximum ${name} usage per ${type} is ${most}`
      const [limit, request] = [of('limits', name), of('requests', name)]
      const bound = Amount.of(most)
      if (limit === undefined) return `${said}.  No limit is specified`
      if (limit.above(bound)) return `${said}, but limit is ${limit.toString()}`
      return request?.above(bound) ? `${said}, but request is ${request.toString()}` : []
    }),
    ...Object.entries(min ?? {}).flatMap(([name, least]) => {
      const said = `minimum ${name} usage per ${type} is ${least}`
      const [limit, request] = [of('limits', name), of('requests', name)]
      const bound = Amount.of(least)
      if (request === undefined) return `${said}.  No request is specified`
      if (bound.above(request)) return `${said}, but request is ${request.toString()}`
      return limit && bound.above(limit) ? `${said}, but limit is ${limit.toString()}` : []
    }),
  ])
}

function missingFeature({ old, changed, profile, nodes }: Review): Response | undefined {
  if (!profile.checksCapacity) return undefined
  const declared = nodes.get(changed.spec.nodeName ?? '')?.declaredFeatures ?? []
  const plain = (spec: PodSpec) => (spec.initContainers ?? []).filter(each => !isSidecar(each))
  const initChanged = plain(changed.spec).some(
    (each, place) => !sameResources(each.resources, plain(old.spec)[place]?.resources ?? {}),
  )
  const podChanged = !sameResources(changed.spec.resources ?? {}, old.spec.resources ?? {})
  const needed = [
    ...(initChanged ? ['InPlacePodVerticalScalingInitContainers'] : []),
    ...(podChanged ? ['InPlacePodLevelResourcesVerticalScaling'] : []),
  ].filter(feature => !declared.includes(feature))
  if (needed.length === 0) return undefined
  const why = `pod update requires features ${needed.join(', ')} which are not available on node "${changed.spec.nodeName}"`
  return forbidden(old.metadata.name, why)
}

/** The plugin PodResizeValidator, from Kubernetes 1.36 on. Other pods do not count. */
function onNode({ old, changed, profile, nodes }: Review): Response | undefined {
  const { nodeName } = changed.spec
  const { name } = old.metadata
  if (!profile.checksCapacity || nodeName === undefined) return undefined
  const node = nodes.get(nodeName)
  if (!node) return forbidden(name, `node "${nodeName}" not found`)
  if (node.os !== undefined && node.os !== 'linux') {
    const why = `pod resize is only supported on linux nodes, node "${nodeName}" is "${node.os}"`
    return forbidden(name, why, [{ reason: 'UnsupportedPlatform' }])
  }
  for (const resource of scaled) {
    const [requested, allocatable] = [
      podTotal(changed.spec, 'requests', resource),
      Amount.of(node.allocatable[resource]),
    ]
    if (!requested.above(allocatable)) continue
    const unit = resource === 'cpu' ? 'milli' : 'whole'
    const why = `node didn't have enough allocatable resources: ${resource}, requested: ${requested[unit]}, allocatable: ${allocatable[unit]}`
    return forbidden(name, why, [{ reason: 'NodeCapacity' }])
  }
  return undefined
}

/** Stoker's ValidatingAdmissionPolicy. */
function againstPolicy({ old, changed, by }: Review): Response | undefined {
  if (!by.user.startsWith('system:serviceaccount:') || by.exempt) return undefined
  const annotations = old.metadata.annotations ?? {}
  const target = annotations['stoker.dev/container'] ?? ''
  const max = annotations['stoker.dev/max-memory'] ?? 'missing'
  const cap = Amount.parse(max) ?? Amount.zero
  const pairs = changed.spec.containers.flatMap(after => {
    const before = old.spec.containers.find(({ name }) => name === after.name)
    // By its text: the same amount in another notation is a change.
    return before && !isSame(before.resources, after.resources) ? { before, after } : []
  })
  const elsewhere =
    pairs.some(({ after }) => after.name !== target) ||
    !isSame(old.spec.initContainers, changed.spec.initContainers) ||
    !sameResources(changed.spec.resources ?? {}, old.spec.resources ?? {})
  const cpu = pairs.some(({ before, after }) =>
    kinds.some(
      kind => !sameAmount(before.resources[kind]?.['cpu'], after.resources[kind]?.['cpu']),
    ),
  )
  const above = pairs.some(({ after }) =>
    kinds.some(kind => Amount.of(after.resources[kind]?.['memory']).above(cap)),
  )
  const why =
    (by.podUid === old.metadata.uid
      ? undefined
      : 'a pod may only resize itself (pod-bound token required)') ??
    (elsewhere
      ? `only the container named by annotation stoker.dev/container may be resized, it names "${target}"`
      : undefined) ??
    (cpu ? 'only memory may be resized' : undefined) ??
    (above ? `memory above the cap of annotation stoker.dev/max-memory: ${max}` : undefined)
  if (why === undefined) return undefined
  const message = `ValidatingAdmissionPolicy 'stoker-resize-own-pod' with binding 'stoker-resize-own-pod' denied request: ${why}`
  return forbidden(old.metadata.name, message, [{ message }])
}

function overQuota({ old, changed, namespace, others }: Review): Response | undefined {
  for (const { name, hard } of namespace.quotas) {
    const resources = Object.keys(hard).toSorted((one, other) => (one < other ? -1 : 1))
    const over = resources.flatMap(resource => {
      const used = [old, ...others].reduce(
        (sum, pod) => sum.plus(counted(pod.spec, resource)),
        Amount.zero,
      )
      const more = counted(changed.spec, resource).minus(counted(old.spec, resource))
      const exceeds = more.nano > 0n && used.plus(more).above(Amount.of(hard[resource]))
      return exceeds ? { resource, used, more } : []
    })
    if (over.length === 0) continue
    const list = (amount: (each: (typeof over)[number]) => string | undefined) =>
      over.map(each => `${each.resource}=${amount(each)}`).join(',')
    const why = `exceeded quota: ${name}, requested: ${list(({ more }) => more.toString())}, used: ${list(({ used }) => used.toString())}, limited: ${list(({ resource }) => Amount.of(hard[resource]).toString())}`
    return forbidden(old.metadata.name, why)
  }
  return undefined
}

/** `memory` counts requests, as `requests.memory` does. */
function counted(spec: PodSpec, resource: string): Amount {
  const [kind, name] = resource.startsWith('limits.')
    ? (['limits', resource.slice('limits.'.length)] as const)
    : (['requests', resource.replace('requests.', '')] as const)
  return podTotal(spec, kind, name)
}
