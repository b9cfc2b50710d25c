/** The pods of the workload as they are on the node: what Prometheus may discover, and what they run on. */
import { parseBytes } from '../../../src/quantity.ts'
import type { Body } from '../cluster/client.ts'
import type { Node } from '../cluster/foundation.ts'
import { statusOf } from '../cluster/pods.ts'
import type { Target } from '../prometheus/prometheus.ts'
import { NAME, NAMESPACE } from './workload.ts'

const AGENT_PORT = 9790
const MIB = 2 ** 20

export interface Pods {
  /** Those that are there and do not end. */
  staying: number
  /** Of these, those that are ready. */
  ready: number
  ending: number
  /** Processes that serve the model. */
  workers: number
  /** Memory in MiB, over all of them: of the specs, of the cgroups' limits, and in use. */
  asked: number
  enforced: number
  used: number
  /** The most that any container has restarted. */
  restarts: number
  targets: Target[]
}

export async function podsOn({ admin, memory }: Node): Promise<Pods> {
  const query = `labelSelector=app%3D${NAME}`
  const { items } = await admin.ok('GET', `/api/v1/namespaces/${NAMESPACE}/pods?${query}`)
  const pods = items as Body[]
  const found = await Promise.all(
    pods.map(({ metadata }) =>
      memory({ namespace: NAMESPACE, pod: metadata?.name ?? '', container: NAME }).catch(
        () => undefined,
      ),
    ),
  )
  const running = found.filter(each => each !== undefined)
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  const staying = pods.filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
  return {
    staying: staying.length,
    ready: staying.filter(isReady).length,
    ending: pods.length - staying.length,
    workers: sum(
      running.map(
        ({ processes }) =>
          processes.filter(({ command }) => command.includes('model_service_worker')).length,
      ),
    ),
    asked: sum(pods.map(askedBy)),
    enforced: Math.round(sum(running.map(({ limit }) => limit)) / MIB),
    used: Math.round(sum(running.map(({ usage }) => usage)) / MIB),
    restarts: Math.max(
      0,
      ...pods.flatMap(pod =>
        (statusOf(pod).containerStatuses ?? []).map(({ restartCount }) => restartCount),
      ),
    ),
    targets: pods.flatMap(targetOf),
  }
}

function isReady(pod: Body): boolean {
  const { conditions = [] } = statusOf(pod)
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
}

function askedBy(pod: Body): number {
  const { containers } = pod['spec'] as {
    containers: { name: string; resources?: { requests?: { memory?: string } } }[]
  }
  const quantity = containers.find(({ name }) => name === NAME)?.resources?.requests?.memory ?? '0'
  return Math.round((parseBytes(quantity) ?? 0) / MIB)
}

/** What discovery in a cluster would tell of it: nothing while it has no address. */
function targetOf(pod: Body): Target[] {
  const { phase, podIP } = statusOf(pod)
  if (phase !== 'Running' || podIP === undefined) return []
  const { name = '', ownerReferences } = pod.metadata ?? {}
  const [owner] = (ownerReferences ?? []) as { name: string }[]
  const address = `${podIP}:${AGENT_PORT}`
  return [{ address, namespace: NAMESPACE, pod: name, controller: owner?.name ?? '' }]
}
