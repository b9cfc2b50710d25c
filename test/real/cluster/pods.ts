/** Pods on a test node. */
import type { Body, Manifest } from './client.ts'
import { NODE } from './names.ts'
import type { Node } from './foundation.ts'

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 60_000

export interface PodStatus {
  phase?: string
  podIP?: string
  observedGeneration?: number
  conditions?: { type: string; status: string; reason?: string; message?: string }[]
  containerStatuses?: ContainerStatus[]
  initContainerStatuses?: ContainerStatus[]
}

interface ContainerStatus {
  name: string
  restartCount: number
  allocatedResources?: Record<string, string>
  state: { running?: object; terminated?: { exitCode: number } }
  lastState?: { terminated?: { reason: string } }
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
}

export const statusOf = (pod: Body) => (pod['status'] ?? {}) as PodStatus

export const pathOf = (namespace: string, name: string) =>
  `/api/v1/namespaces/${namespace}/pods/${name}`

/** Of one pod on the node, without a token of its own. */
export function podOn(namespace: string, name: string, spec: object): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: NODE,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 5,
      ...spec,
    },
  }
}

/** Creates a pod; resolves when all its containers run. */
export async function startPod({ admin, slowness }: Node, pod: Manifest): Promise<Body> {
  const { namespace = 'default', name } = pod.metadata
  await admin.ok('POST', `/api/v1/namespaces/${namespace}/pods`, pod)
  const ready = ({ body }: { body: Body }) =>
    statusOf(body).conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ===
    true
  return admin.waitFor(pathOf(namespace, name), ready, START_TIMEOUT_MS * slowness)
}

/** Creates a pod that ends by itself; resolves when it has. */
export async function runPod({ admin }: Node, pod: Manifest): Promise<Body> {
  const { namespace = 'default', name } = pod.metadata
  await admin.ok('POST', `/api/v1/namespaces/${namespace}/pods`, pod)
  const ended = ({ body }: { body: Body }) =>
    ['Succeeded', 'Failed'].includes(statusOf(body).phase ?? '')
  return admin.waitFor(pathOf(namespace, name), ended, START_TIMEOUT_MS)
}

/** Deletes a pod; resolves when it is gone. */
export async function removePod(
  { admin, slowness }: Node,
  namespace: string,
  name: string,
): Promise<void> {
  const path = pathOf(namespace, name)
  await admin.ok('DELETE', path)
  await admin.waitFor(path, ({ status }) => status === 404, STOP_TIMEOUT_MS * slowness)
}
