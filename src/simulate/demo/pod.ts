/** The demo's pod, on an emulated node whose answer to more memory can be chosen. */
import type { TorchServeCgroup } from '../../clients/cgroup.ts'
import type { Clock } from '../../clock.ts'
import { startKubernetes } from '../kubernetes.ts'
import { podTotal } from '../kubernetes/objects.ts'

const MIB = 2 ** 20
const POD = 'torchserve-0'
const NEIGHBOUR = 'batch-job'
const CONTAINER = 'torchserve'
const CAP = '6Gi'
const NODE_MEMORY = '16Gi'
/** TorchServe itself, and the files it has read: its models’ archives. */
const BASE_BYTES = 420 * MIB
const FILE_BYTES = 110 * MIB

/**
 * What the cluster says to more memory. `deferred`: other pods fill the node. `infeasible`: the node is too small for it.
 * `quota`: the namespace has used up its own.
 */
export const refusals = ['none', 'deferred', 'infeasible', 'quota'] as const
export type Refusal = (typeof refusals)[number]

export interface DemoPod {
  /** What its agent finds in its environment. */
  env: Record<string, string>
  cgroup: TorchServeCgroup
  readonly refusal: Refusal
  refuse(how: Refusal): void
  close(): Promise<void>
}

/** `workerBytes`: what all workers hold now. */
export async function startPod(clock: Clock, workerBytes: () => number): Promise<DemoPod> {
  // The last version whose kubelet still says itself that the node is too small.
  const kubernetes = await startKubernetes({ clock, version: '1.35', allocatable: node() })
  const { cluster } = kubernetes
  const held = () => BASE_BYTES + workerBytes()
  const { uid } = cluster.create(
    {
      name: POD,
      annotations: { 'stoker.dev/container': CONTAINER, 'stoker.dev/max-memory': CAP },
      containers: [{ name: CONTAINER, ...memory(1_280, 1_792) }],
      sidecars: [{ name: 'stoker', ...memory(64, 96) }],
    },
    {
      use: name =>
        name === CONTAINER
          ? { anonBytes: held(), fileBytes: FILE_BYTES }
          : { anonBytes: 0, fileBytes: 0 },
    },
  ).metadata
  const requested = () => podTotal(cluster.pod(POD).spec, 'requests', 'memory').whole

  function allow(): void {
    cluster.setAllocatable(node())
    cluster.api.namespace('default').quotas = []
    if (cluster.api.store.get('default', NEIGHBOUR)) cluster.delete(NEIGHBOUR, { graceMs: 0 })
  }

  let refusal: Refusal = 'none'
  const { host, port, namespace, tokenFile, caFile } = kubernetes.configFor(POD)
  return {
    env: {
      KUBERNETES_SERVICE_HOST: host,
      KUBERNETES_SERVICE_PORT: String(port),
      STOKER_POD_NAME: POD,
      STOKER_POD_NAMESPACE: namespace,
      STOKER_POD_UID: uid,
      STOKER_CONTAINER: CONTAINER,
      STOKER_TOKEN_FILE: tokenFile,
      STOKER_CLUSTER_CA_FILE: caFile,
      STOKER_MAX_MEMORY: CAP,
    },
    cgroup: {
      memory: () => ({
        usageBytes: held() + FILE_BYTES,
        workingBytes: held(),
        limitBytes: cluster.kubelet?.runtime(uid).container(CONTAINER).limitBytes,
        oomKills: 0,
      }),
    },
    get refusal() {
      return refusal
    },
    refuse(how) {
      allow()
      refusal = how
      if (how === 'deferred') {
        const rest = 16 * 1_024 - Math.ceil(requested() / MIB)
        cluster.create({ name: NEIGHBOUR, containers: [{ name: 'main', ...memory(rest, rest) }] })
      }
      if (how === 'infeasible') cluster.setAllocatable(node(`${requested()}`))
      if (how === 'quota') {
        const hard = { 'requests.memory': `${requested()}` }
        cluster.api.namespace('default').quotas.push({ name: 'team-quota', hard })
      }
    },
    close: () => kubernetes.close(),
  }
}

const node = (memoryAmount = NODE_MEMORY) => ({ cpu: '8', memory: memoryAmount })

function memory(requestMib: number, limitMib: number) {
  return {
    requests: { cpu: '100m', memory: `${requestMib}Mi` },
    limits: { memory: `${limitMib}Mi` },
  }
}
