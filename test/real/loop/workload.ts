/**
 * The TorchServe of k8s/examples on a real node: the Deployment and the Service as they are copied, but for programs that come from this
 * machine and not from an image, a model, and amounts that suit a small node; the agent is injected by `stoker inject`.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mostArrivals } from '../../../src/decide/erlang.ts'
import { AGENT_IMAGE } from '../cluster/agent-pod.ts'
import type { Manifest } from '../cluster/client.ts'
import type { Node } from '../cluster/foundation.ts'
import { readManifests } from '../cluster/manifests.ts'
import { torchServeContainer, type TorchServeContainer } from '../cluster/torchserve-pod.ts'
import { examples } from '../prometheus/queries.ts'

export const NAMESPACE = 'models'
export const NAME = 'torchserve'
const MODEL = 'm'
const MAX_WORKERS = 2
const SERVICE_MS = 300
const WORKER_MIB = 100
/** What one pod takes with all its workers, in requests a second, of which 2 in 100 wait longer than one and a half service times. */
export const WORTH = mostArrivals(
  MAX_WORKERS,
  { arrivalsPerSecond: 0, serviceMs: SERVICE_MS, batchSize: 1, maxBatchDelayMs: 100 },
  1.5 * SERVICE_MS,
  0.02,
)
const annotations = {
  'stoker.dev/container': NAME,
  'stoker.dev/max-workers': String(MAX_WORKERS),
  'stoker.dev/max-memory': '2Gi',
  'stoker.dev/hold-ms': '10000',
}
const resources = {
  requests: { cpu: '10m', memory: '500Mi' },
  limits: { memory: '600Mi' },
}

export interface Workload {
  /** Applies the Deployment; `drain` as the annotation of this name. */
  deploy(drain: boolean): Promise<void>
  /** The number of its pods, by hand. */
  setReplicas(replicas: number): Promise<void>
  replicas(): Promise<number>
  model: TorchServeContainer
  /** The model's prediction URL at the Service, in the node's network. */
  url: string
}

/** Applies the Service, and no pod yet. */
export async function workloadOn({ admin, folder: parent }: Node): Promise<Workload> {
  const folder = join(parent, NAME)
  mkdirSync(folder)
  const behaviour = { serviceMs: SERVICE_MS, allocMiB: WORKER_MIB }
  const model = await torchServeContainer(folder, [{ name: MODEL, behaviour }])
  const manifests = readManifests(join(examples, 'torchserve.yaml'))
  const named = (kind: string) => {
    const found = manifests.find(each => each.kind === kind)
    if (!found) throw new Error(`The example has no ${kind}`)
    found.metadata.namespace = NAMESPACE
    return found
  }
  const [service] = await admin.apply(named('Service'))
  const { clusterIP } = (service?.['spec'] ?? {}) as { clusterIP?: string }
  const deployment = named('Deployment')
  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${NAME}`
  return {
    model,
    url: `http://${clusterIP}:8080/predictions/${MODEL}`,
    async deploy(drain) {
      await admin.apply(injected(withPrograms(deployment, model, drain)))
    },
    async setReplicas(replicas) {
      const type = 'application/merge-patch+json'
      await admin.ok('PATCH', `${path}/scale`, { spec: { replicas } }, type)
    },
    async replicas() {
      const { spec } = (await admin.ok('GET', path)) as { spec?: { replicas?: number } }
      return spec?.replicas ?? 0
    },
  }
}

interface Template {
  metadata: { annotations: Record<string, string> }
  spec: { containers: object[]; volumes: object[] }
}

function withPrograms(example: Manifest, model: TorchServeContainer, drain: boolean): Manifest {
  const deployment = structuredClone(example)
  const { template } = deployment['spec'] as { template: Template }
  Object.assign(template.metadata.annotations, annotations, { 'stoker.dev/drain': String(drain) })
  const [container] = template.spec.containers as { args?: string[]; securityContext: object }[]
  if (!container) throw new Error('The example has no container')
  delete container.args
  Object.assign(container, {
    ...model.container,
    securityContext: {
      ...container.securityContext,
      ...(model.container['securityContext'] as object),
    },
    resources,
  })
  template.spec.volumes = model.volumes
  return deployment
}

function injected(deployment: Manifest): Manifest {
  const program = join(import.meta.dirname, '../../../src/main.ts')
  const words = [program, 'inject', '--image', AGENT_IMAGE, '--pull-policy', 'Never', '-']
  const input = JSON.stringify(deployment)
  return JSON.parse(execFileSync(process.execPath, words, { input, encoding: 'utf8' })) as Manifest
}
