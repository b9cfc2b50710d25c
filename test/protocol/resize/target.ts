/**
 * What the resize cases run on: a real API server, with or without a node, or the emulation of both. Kubernetes' own end-to-end
 * cases are among them, under their names.
 */
import type { Test } from 'tap'
import type { Clock } from '../../../src/clock.ts'
import type { PodShape } from '../../../src/simulate/kubernetes/cluster.ts'
import type { Faults } from '../../../src/simulate/kubernetes/faults.ts'
import type { ResourceList } from '../../../src/simulate/kubernetes/objects.ts'
import type { MemoryUse } from '../../../src/simulate/kubernetes/runtime.ts'
import type { Version } from '../../../src/simulate/kubernetes/versions.ts'

/** A pod that was created. */
export interface PodRef {
  name: string
  namespace: string
  uid: string
}

/** A shape in the namespace of its case. */
export type Shape = Omit<PodShape, 'namespace' | 'name'> & { name?: string }

export interface ResizeTarget {
  url: string
  /** PEM file to trust. */
  caFile: string
  version: Version
  /** May do everything. */
  adminToken: string
  /** The server's time: every duration in the cases is in it. */
  clock: Clock
  /** Makes a namespace whose service account `default` may patch pods/resize. Stoker's policy is in force everywhere. */
  addNamespace(name: string): Promise<void>
  /** Lets the service account of the namespace patch pods for their deletion costs. Stoker's policy for that is in force, too. */
  allowCosts(namespace: string): Promise<void>
  /** All its containers run as its spec says. On the node with 8 cpus and 16 GiB, unless the shape names another. */
  create(namespace: string, shape: Shape): Promise<PodRef>
  /** Deletes it; with a grace period it stays for so long. */
  remove(pod: PodRef, graceMs: number): Promise<void>
  /** Whatever is left in the namespace is gone when it returns. */
  clear(namespace: string): Promise<void>
  /** A token bound to the pod, as the kubelet mounts it. */
  tokenOf(pod: PodRef): Promise<string>
  /** In force when it returns. */
  limit(
    namespace: string,
    range: { type?: 'Container' | 'Pod'; max: ResourceList; min?: ResourceList },
  ): Promise<void>
  /** In force when it returns. `used`: what the pods there use of it, for a server without the controller that counts. */
  quota(namespace: string, quota: { hard: ResourceList; used: ResourceList }): Promise<void>
  /** Absent: nothing acts on what pods ask for. */
  node?: Node
  /** Absent: the way to the server cannot be disturbed. */
  faults?: Faults
}

/** The node with its kubelet. */
export interface Node {
  /** Whether the node takes one more pod; it stays if so. No scheduler is asked. */
  admits(namespace: string, shape: Shape): Promise<boolean>
  /** What the pod's container holds from soon on. */
  use(pod: PodRef, container: string, use: MemoryUse): Promise<void>
  /** The memory limits of the cgroups; undefined: none. Containers that do not run are left out. */
  limits(pod: PodRef): Promise<Limits>
  /** Ends a container, which is started again by itself. */
  kill(pod: PodRef, container: string): Promise<void>
  stopKubelet(): Promise<void>
  startKubelet(): Promise<void>
  /** For so long there are no memory numbers of the pod. Absent: they cannot be hidden. */
  hideStats?(pod: PodRef, ms: number): void
}

interface Limits {
  pod: number | undefined
  containers: Record<string, number | undefined>
}

export interface Case {
  name: string
  /** Left out: the API server alone. */
  needs?: 'node' | 'stats' | 'faults'
  /** Of Kubernetes; left out: every one that serves pods/resize. */
  since?: Version
  /** Runs in a namespace of its own. */
  run(t: Test, target: ResizeTarget, namespace: string): Promise<void>
}
