/** What a kubelet would report, written by hand, for an API server without one. */
import { STRATEGIC, type Body, type Client, type Manifest, type Metadata } from './client.ts'

interface Container {
  name: string
  resources?: Record<'requests' | 'limits', Record<string, string>>
}

export interface PodManifest extends Manifest {
  metadata: Metadata & { name: string; namespace: string }
  spec: { nodeName: string; containers: Container[]; initContainers?: Container[] }
}

/** What a kubelet of this version says it can; the API server refuses resizes that need more. */
const declaredFeatures = [
  'InPlacePodLevelResourcesVerticalScaling',
  'InPlacePodVerticalScalingInitContainers',
]

/** A node that is ready. */
export async function playNode(admin: Client, name: string, memory: string): Promise<void> {
  await admin.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
  const size = { cpu: '8', memory, pods: '110' }
  const conditions = [{ type: 'Ready', status: 'True' }]
  const status = { capacity: size, allocatable: size, conditions, declaredFeatures }
  await admin.ok('PATCH', `/api/v1/nodes/${name}/status`, { status }, STRATEGIC)
}

/** Creates a pod; every container of it runs with what its spec asks for. */
export async function playPod(admin: Client, pod: PodManifest): Promise<Body> {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods`
  await admin.ok('POST', path, pod)
  const status = {
    phase: 'Running',
    observedGeneration: 1,
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: pod.spec.containers.map(running),
    initContainerStatuses: (pod.spec.initContainers ?? []).map(running),
  }
  return admin.ok('PATCH', `${path}/${pod.metadata.name}/status`, { status }, STRATEGIC)
}

function running({ name, resources }: Container) {
  return {
    name,
    image: 'played',
    imageID: 'played',
    containerID: `containerd://${name}`,
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: new Date().toISOString() } },
    resources,
    allocatedResources: resources?.requests,
  }
}
