/** A plain TorchServe pod, injected by `stoker inject`, on a real node under the policy. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AGENT_IMAGE, importAgent } from './cluster/agent-pod.ts'
import type { Manifest } from './cluster/client.ts'
import type { Node } from './cluster/foundation.ts'
import { buildEmpty } from './cluster/images.ts'
import { readManifests } from './cluster/manifests.ts'
import { startNode, type HostNode } from './cluster/node.ts'
import { podOn, startPod, statusOf } from './cluster/pods.ts'
import { mayResize } from './cluster/rights.ts'
import { EMPTY_IMAGE, torchServeContainer, USER } from './cluster/torchserve-pod.ts'
import type { TorchServeContainer } from './cluster/torchserve-pod.ts'
import type { Behaviour } from './models.ts'
import { until } from './until.ts'

export const NS = 'serving'
export const MODEL = 'm'
/** What a pod is created with, in MiB. */
export const FIRST = { request: 600, limit: 700 }
const SERVES_MS = 60_000
const repository = join(import.meta.dirname, '../..')

/** A node that knows the images, with a namespace whose pods may resize themselves; `memoryMiB` as startNode() has it. */
export async function startMemoryNode(options: { memoryMiB?: number } = {}): Promise<HostNode> {
  return prepared(await startNode(options))
}

/** The node, with what startServing() needs: the images, and a namespace whose pods may resize themselves. */
export async function prepared<N extends Node>(node: N, namespace = NS): Promise<N> {
  await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
  await importAgent(node)
  await node.addNamespace(namespace)
  await node.admin.apply(
    ...readManifests(join(repository, 'k8s/policies/resize-own-pod.yaml')),
    ...mayResize(namespace, { kind: 'ServiceAccount', name: 'default' }, ['patch']),
  )
  return node
}

export interface Serving {
  name: string
  /** Of models and logs; the container may write there. */
  folder: string
  model: TorchServeContainer
  /** The agent's. */
  page: URL
  /** The model's prediction URL. */
  url: string
}

/** Resolves when the model has answered once. Throws when it has not after 60 s, on a slow node more. `annotations`: more than the pod has. */
export async function startServing(
  node: Node,
  name: string,
  behaviour: Partial<Behaviour>,
  annotations: Readonly<Record<string, string>> = {},
): Promise<Serving> {
  const folder = join(node.folder, name)
  mkdirSync(folder)
  const model = await torchServeContainer(folder, [{ name: MODEL, behaviour }])
  const plain = podOn(NS, name, {
    securityContext: { runAsUser: USER },
    containers: [{ ...model.container, resources: amounts }],
    volumes: model.volumes,
  })
  plain.metadata['labels'] = { 'stoker.dev/inject': 'true' }
  plain.metadata.annotations = { ...wished, ...annotations }
  const pod = injected(plain)
  const { podIP = '' } = statusOf(await startPod(node, pod))
  const [page, inference] = [await node.reach(podIP, 9790), await node.reach(podIP, 8080)]
  const url = `${inference.origin}/predictions/${MODEL}`
  const serves = async () => (await fetch(url, { method: 'POST', body: 'first' })).ok
  if (!(await until(() => serves().catch(() => false), SERVES_MS * node.slowness, 200)))
    throw new Error(`${name} does not serve after ${SERVES_MS} ms`)
  return { name, folder, model, page, url }
}

const amounts = {
  requests: { memory: `${FIRST.request}Mi` },
  limits: { memory: `${FIRST.limit}Mi` },
}

const wished = {
  'stoker.dev/container': 'torchserve',
  'stoker.dev/max-memory': '2Gi',
  'stoker.dev/share-processes': 'true',
  'stoker.dev/hold-ms': '5000',
}

/** As `stoker inject` makes it. */
function injected(plain: Manifest): Manifest {
  const command = [join(repository, 'src/main.ts'), 'inject', '--image', AGENT_IMAGE]
  const input = JSON.stringify(plain)
  const words = [...command, '--pull-policy', 'Never', '-']
  return JSON.parse(execFileSync(process.execPath, words, { input, encoding: 'utf8' })) as Manifest
}
