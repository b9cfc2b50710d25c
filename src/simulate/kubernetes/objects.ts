/** The parts of Kubernetes' pod that a resize touches, and what follows from them. */
import { Amount } from './amount.ts'

export type ResourceList = Readonly<Record<string, string>>

export interface Resources {
  requests?: ResourceList
  limits?: ResourceList
  claims?: readonly { name: string }[]
}

export interface Container {
  name: string
  image: string
  /** Of an init container: it is a sidecar. */
  restartPolicy?: 'Always'
  resources: Resources
  resizePolicy?: readonly { resourceName: string; restartPolicy: string }[]
}

export interface PodSpec {
  nodeName?: string
  initContainers?: readonly Container[]
  containers: readonly Container[]
  resources?: Resources
  restartPolicy: string
  serviceAccountName: string
  os?: { name: string }
  priority: number
}

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'

export interface Condition {
  type: string
  status: 'True'
  lastProbeTime: string | null
  lastTransitionTime: string | null
  observedGeneration?: number
  reason?: string
  message?: string
}

export interface ContainerStatus {
  name: string
  state: object
  lastState: object
  ready: boolean
  started: boolean
  restartCount: number
  image: string
  imageID: string
  containerID: string
  allocatedResources?: ResourceList
  resources?: Resources
}

export interface PodStatus {
  observedGeneration?: number
  phase: string
  conditions: readonly Condition[]
  initContainerStatuses?: readonly ContainerStatus[]
  containerStatuses?: readonly ContainerStatus[]
  qosClass: QosClass
  allocatedResources?: ResourceList
  resources?: Resources
}

export interface ManagedFields {
  manager: string
  operation: 'Update'
  apiVersion: 'v1'
  time: string
  fieldsType: 'FieldsV1'
  fieldsV1: object
  subresource?: string
}

interface Metadata {
  name: string
  namespace: string
  uid: string
  resourceVersion: string
  generation: number
  creationTimestamp: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  labels?: Readonly<Record<string, string>>
  annotations?: Readonly<Record<string, string>>
  managedFields: readonly ManagedFields[]
}

export interface Pod {
  kind: 'Pod'
  apiVersion: 'v1'
  metadata: Metadata
  spec: PodSpec
  status: PodStatus
}

export type Kind = 'requests' | 'limits'
export const kinds: readonly Kind[] = ['requests', 'limits']
export const scaled = ['cpu', 'memory'] as const

/** Init containers first, as Kubernetes counts them. */
export function containersOf(spec: PodSpec): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}

/** Those that run all the time. */
export function runningContainersOf(spec: PodSpec): readonly Container[] {
  return containersOf(spec).filter(each => spec.containers.includes(each) || isSidecar(each))
}

export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always'
}

/** What the whole pod asks for: the most that runs at one time. */
export function podTotal(spec: PodSpec, kind: Kind, resource: string): Amount {
  const own = spec.resources?.[kind]?.[resource]
  if (own !== undefined) return Amount.of(own)
  let sidecars = Amount.zero
  let starting = Amount.zero
  for (const each of spec.initContainers ?? []) {
    const amount = Amount.of(each.resources[kind]?.[resource])
    if (isSidecar(each)) sidecars = sidecars.plus(amount)
    starting = starting.max(isSidecar(each) ? sidecars : sidecars.plus(amount))
  }
  const running = spec.containers.reduce(
    (sum, each) => sum.plus(Amount.of(each.resources[kind]?.[resource])),
    Amount.zero,
  )
  return running.plus(sidecars).max(starting)
}

/** The pod's memory limit: it has one only if all its containers have. */
export function podLimit(spec: PodSpec): number | undefined {
  const limited =
    spec.resources?.limits?.['memory'] !== undefined ||
    runningContainersOf(spec).every(each => each.resources.limits?.['memory'] !== undefined)
  return limited ? podTotal(spec, 'limits', 'memory').whole : undefined
}

export function qosOf(spec: PodSpec): QosClass {
  const all = spec.resources ? [spec.resources] : containersOf(spec).map(each => each.resources)
  const set = (resources: Resources, kind: Kind) =>
    scaled.filter(name => Amount.of(resources[kind]?.[name]).nano > 0n)
  if (all.every(each => kinds.every(kind => set(each, kind).length === 0))) return 'BestEffort'
  const sum = (kind: Kind, name: string) =>
    all.reduce((total, each) => total + Amount.of(each[kind]?.[name]).nano, 0n)
  const guaranteed =
    all.every(each => set(each, 'limits').length === scaled.length) &&
    scaled.every(name => sum('requests', name) === sum('limits', name))
  return guaranteed ? 'Guaranteed' : 'Burstable'
}

export function sameAmount(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return Amount.of(one).nano === Amount.of(other).nano
}

/** The same amounts, in whatever notation. */
export function sameResources(one: Resources, other: Resources): boolean {
  return kinds.every(kind => {
    const names = new Set([...Object.keys(one[kind] ?? {}), ...Object.keys(other[kind] ?? {})])
    return [...names].every(name => sameAmount(one[kind]?.[name], other[kind]?.[name]))
  })
}

/** Whether two specs of one pod ask for the same. */
export function sameSpec(one: PodSpec, other: PodSpec): boolean {
  const others = containersOf(other)
  return (
    sameResources(one.resources ?? {}, other.resources ?? {}) &&
    containersOf(one).every((each, place) =>
      sameResources(each.resources, others[place]?.resources ?? {}),
    )
  )
}
