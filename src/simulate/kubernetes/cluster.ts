/** A cluster of one node: API server and kubelet, and pods as short descriptions of them. */
import type { Clock } from '../../clock.ts'
import { random } from '../random.ts'
import { serviceAccountOf } from './access.ts'
import type { NodeInfo } from './admission.ts'
import { ApiServer } from './api.ts'
import { Kubelet } from './kubelet.ts'
import {
  containersOf,
  qosOf,
  runningContainersOf,
  type Container,
  type ContainerStatus,
  type Pod,
  type PodSpec,
  type PodStatus,
  type ResourceList,
  type Resources,
} from './objects.ts'
import type { Behaviour } from './runtime.ts'
import { versions, type Profile, type Version } from './versions.ts'

export interface ClusterOptions {
  clock: Clock
  /** 1.36. */
  version?: Version
  /** What the node can give to pods; 8 cpus and 16 GiB. */
  allocatable?: ResourceList
  /** `none`: nothing is actuated; every pod is reported as its spec was when it was created. */
  kubelet?: 'runs' | 'none'
  /** v2. */
  cgroups?: 'v1' | 'v2'
  /** 1. */
  seed?: number
}

export interface ContainerShape {
  name: string
  requests?: ResourceList
  limits?: ResourceList
  /** By resource: what a change does to the container; NotRequired. */
  resizePolicy?: Readonly<Record<string, 'NotRequired' | 'RestartContainer'>>
  claims?: readonly string[]
}

/** A pod in few words. */
export interface PodShape {
  name: string
  /** default. */
  namespace?: string
  containers: readonly ContainerShape[]
  /** Init containers that go on running. */
  sidecars?: readonly ContainerShape[]
  initContainers?: readonly ContainerShape[]
  /** The pod's own resources. */
  resources?: Pick<ContainerShape, 'requests' | 'limits'>
  annotations?: Readonly<Record<string, string>>
  /** The cluster's node; null: it is not scheduled yet. */
  node?: string | null
  priority?: number
  /** `silent`: its kubelet does not report resources, as those without support for resize. `absent`: it has not reported yet. */
  report?: 'silent' | 'absent'
}

const NODE = 'node1'

export class Cluster {
  readonly api: ApiServer
  readonly kubelet: Kubelet | undefined
  readonly #clock: Clock
  readonly #profile: Profile
  readonly #node: NodeInfo & { allocatable: ResourceList }
  readonly #behaviours = new Map<string, Behaviour>()

  constructor(options: ClusterOptions) {
    const { clock, version = '1.36', seed = 1 } = options
    const { allocatable = { cpu: '8', memory: '16Gi' } } = options
    this.#clock = clock
    this.#profile = versions[version]
    this.api = new ApiServer(clock, random(seed, 'apiserver'), version)
    this.#node = { allocatable, os: 'linux' }
    this.api.nodes.set(NODE, this.#node)
    this.kubelet =
      options.kubelet === 'none'
        ? undefined
        : new Kubelet({
            clock,
            random: random(seed, 'kubelet'),
            store: this.api.store,
            profile: this.#profile,
            node: NODE,
            allocatable: () => this.#node.allocatable,
            cgroups: options.cgroups ?? 'v2',
            behaviourOf: ({ metadata: { namespace, name } }) =>
              this.#behaviours.get(`${namespace}/${name}`) ?? {},
          })
  }

  /** The node grows or shrinks, as when the system reserves more. */
  setAllocatable(allocatable: ResourceList): void {
    this.#node.allocatable = allocatable
  }

  /** Its service account gets the right to patch pods/resize. */
  create(shape: PodShape, behaviour: Behaviour = {}): Pod {
    const pod = podOf(shape)
    const { namespace, name } = pod.metadata
    this.#behaviours.set(`${namespace}/${name}`, behaviour)
    this.api.access.rights.add(`${namespace}/${serviceAccountOf(pod)}`)
    const added = this.api.store.add(pod)
    const isRun = this.kubelet !== undefined && pod.spec.nodeName === NODE
    if (isRun) return this.pod(name, namespace)
    if (shape.report === 'absent' || pod.spec.nodeName === undefined) return added
    const { observedGeneration, ...status } = playedStatus(added, shape.report !== 'silent')
    return this.api.store.setStatus(added, {
      ...status,
      ...(this.#profile.observedGeneration && { observedGeneration }),
    })
  }

  /** The pod as it is stored. @throws Error when there is none */
  pod(name: string, namespace = 'default'): Pod {
    const pod = this.api.store.get(namespace, name)
    if (!pod) throw new Error(`There is no pod ${namespace}/${name}`)
    return pod
  }

  /** Terminating from now on, and gone after `graceMs`. */
  delete(name: string, { namespace = 'default', graceMs = 30_000 } = {}): void {
    const pod = this.api.store.markDeleted(this.pod(name, namespace), graceMs)
    void this.#clock.sleep(graceMs).then(() => this.api.store.remove(pod))
  }

  close(): void {
    this.kubelet?.close()
  }
}

/** As it would be sent to an API server. */
export function podOf(shape: PodShape): Pod {
  const { name, namespace = 'default', node = NODE, annotations, priority = 0 } = shape
  const sidecars = (shape.sidecars ?? []).map(each => ({
    ...containerOf(each),
    restartPolicy: 'Always' as const,
  }))
  const initContainers = [...sidecars, ...(shape.initContainers ?? []).map(containerOf)]
  const spec: PodSpec = {
    ...(node !== null && { nodeName: node }),
    ...(initContainers.length > 0 && { initContainers }),
    containers: shape.containers.map(containerOf),
    ...(shape.resources && { resources: shape.resources }),
    restartPolicy: 'Always',
    serviceAccountName: 'default',
    priority,
  }
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace,
      uid: '',
      resourceVersion: '',
      generation: 0,
      creationTimestamp: '',
      ...(annotations && { annotations }),
      managedFields: [],
    },
    spec,
    status: { phase: 'Pending', conditions: [], qosClass: qosOf(spec) },
  }
}

function containerOf({ name, requests, limits, resizePolicy, claims }: ContainerShape): Container {
  const defaulted = { ...limits, ...requests }
  const resources: Resources = {
    ...(Object.keys(defaulted).length > 0 && { requests: defaulted }),
    ...(limits && { limits }),
    ...(claims && { claims: claims.map(each => ({ name: each })) }),
  }
  const policies = Object.entries(resizePolicy ?? {}).map(([resourceName, restartPolicy]) => ({
    resourceName,
    restartPolicy,
  }))
  const image = `registry.example/${name}:1`
  return { name, image, resources, ...(policies.length > 0 && { resizePolicy: policies }) }
}

/** Everything runs as its spec says. `reports`: as told by a kubelet that supports resizing. */
export function playedStatus({ metadata, spec, status }: Pod, reports: boolean): PodStatus {
  const running = (containers: readonly Container[]): ContainerStatus[] =>
    containers.map(({ name, image, resources }) => ({
      name,
      image,
      imageID: `sha256:${name}`,
      containerID: `containerd://${name}`,
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: { startedAt: metadata.creationTimestamp } },
      lastState: {},
      ...(reports && { resources, allocatedResources: resources.requests ?? {} }),
    }))
  const sidecars = runningContainersOf(spec).filter(each => !spec.containers.includes(each))
  return {
    ...status,
    observedGeneration: metadata.generation,
    phase: 'Running',
    ...(containersOf(spec).length > spec.containers.length && {
      initContainerStatuses: running(sidecars),
    }),
    containerStatuses: running(spec.containers),
  }
}
