/**
 * By the commands of README.md, read from it, on a real node: `helm install`, a label on a namespace, and a Deployment of a plain
 * TorchServe that says nothing of Stoker gets the agent from the webhook that runs there, scales its workers and its memory under
 * load, and keeps nothing of it once the chart is uninstalled.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Told } from '../agent.ts'
import { importAgent } from '../cluster/agent-pod.ts'
import type { Body, Manifest } from '../cluster/client.ts'
import { buildEmpty } from '../cluster/images.ts'
import { startNode } from '../cluster/node.ts'
import { pathOf, statusOf } from '../cluster/pods.ts'
import { torchServeContainer, USER } from '../cluster/torchserve-pod.ts'
import { helmOn } from '../helm.ts'
import { isInjected, SYSTEM } from '../injection.ts'
import { commandsOf } from '../readme.ts'
import { startTraffic } from '../traffic.ts'
import { until } from '../until.ts'
import { kubeConfig } from '../webhook.ts'

t.setTimeout(500_000)

const NS = 'serving'
const REGISTRY = 'stoker.local'
const IMAGE = `${REGISTRY}/torchserve:1`
const MIB = 2 ** 20
const POD_MS = 120_000

const node = await startNode({ isCluster: true })
t.teardown(() => node.stop())
const { admin } = node
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), IMAGE))
await node.addNamespace(NS)
const kubeconfig = join(node.folder, 'user.kubeconfig')
writeFileSync(kubeconfig, kubeConfig(node, node.tokens.admin), { mode: 0o600 })
const folder = join(node.folder, 'torchserve')
mkdirSync(folder)
const behaviour = { serviceMs: 100, allocMiB: 150 }
const torchserve = await torchServeContainer(folder, [{ name: 'm', behaviour }])

let startedMs = Date.now()
const lap = (t: Test, what: string) =>
  t.comment(`${((Date.now() - startedMs) / 1000).toFixed(1)} s: ${what}`)
const helm = (...words: string[]) => helmOn(kubeconfig, ...words)

/** Does what a command of README.md does; what it prints. There is no registry here, and no kubectl. */
async function type([program, ...words]: string[]): Promise<string> {
  const [verb] = words
  if (program === 'helm') return helm(...words)
  if (program === 'docker' && verb === 'build') return importAgent(node, words[2])
  if (program === 'docker' && verb === 'push') return 'the node has it'
  if (program === 'kubectl' && verb === 'label' && words[1] === 'namespace') {
    const [, , name = '', label = ''] = words
    const [key = '', value = ''] = label.split('=')
    const metadata = { name, labels: { [key]: value } }
    await admin.apply({ apiVersion: 'v1', kind: 'Namespace', metadata })
    return `namespace/${name} labeled`
  }
  throw new Error(
    `README.md has a command that this test cannot type: ${program} ${words.join(' ')}`,
  )
}

const deployment: Manifest = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'ts', namespace: NS },
  spec: {
    selector: { matchLabels: { app: 'ts' } },
    template: {
      metadata: { labels: { app: 'ts' } },
      spec: {
        terminationGracePeriodSeconds: 5,
        securityContext: { runAsUser: USER },
        volumes: torchserve.volumes,
        containers: [
          {
            ...torchserve.container,
            image: IMAGE,
            resources: { requests: { memory: '600Mi' }, limits: { memory: '700Mi' } },
          },
        ],
      },
    },
  },
}

async function pods(): Promise<Body[]> {
  const { items } = await admin.ok('GET', `/api/v1/namespaces/${NS}/pods?labelSelector=app%3Dts`)
  return (items as Body[]).filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
}

/** The Deployment's pod, all its containers running. */
async function running(isWanted: boolean): Promise<Body> {
  let found: Body | undefined
  const look = async () => {
    found = (await pods()).find(
      pod =>
        isInjected(pod) === isWanted &&
        statusOf(pod).conditions?.some(each => each.type === 'Ready' && each.status === 'True'),
    )
    return found !== undefined
  }
  if (!(await until(look, POD_MS, 100)) || !found)
    throw new Error(`No such pod runs: ${JSON.stringify(await pods())}`)
  return found
}

t.test('a plain Deployment is scaled by what the chart installs', async t => {
  const typed: string[] = []
  for (const command of commandsOf('Use it in a cluster', { REGISTRY, NAMESPACE: NS })) {
    const [program, verb] = command
    // The image is at hand by then; what it takes to build and to pull is the registry's and the network's.
    if (program === 'helm' && verb === 'install') startedMs = Date.now()
    const printed = await type(command)
    typed.push(`${program} ${verb}`)
    if (verb === 'install')
      t.match(printed, /helm test stoker --namespace stoker-system[\s\S]*kubectl label namespace/)
    if (verb === 'test')
      t.match(printed, /Phase:\s+Succeeded/, 'helm test finds the agent in a labelled pod')
    lap(t, `${program} ${verb} has returned`)
  }
  t.same(typed, ['docker build', 'docker push', 'helm install', 'helm test', 'kubectl label'])
  await admin.apply(deployment)
  const pod = await running(true)
  lap(t, 'the injected pod runs')
  const name = pod.metadata?.name ?? ''
  const { podIP = '' } = statusOf(pod)
  const [page, inference] = [await node.reach(podIP, 9790), await node.reach(podIP, 8080)]
  const url = `${inference.origin}/predictions/m`
  const served = async () => (await fetch(url, { method: 'POST', body: 'first' })).ok
  t.ok(await until(() => served().catch(() => false), 60_000, 200), 'TorchServe serves')
  const place = { namespace: NS, pod: name, container: 'torchserve' }
  const before = (await node.memory(place)).limit
  const ready = async () => {
    const reply = await fetch(new URL('/decisions', page), { signal: AbortSignal.timeout(5_000) })
    const { decisions } = (await reply.json()) as { decisions: Told[] }
    return decisions.find(({ model }) => model === 'm')?.inputs.ready ?? 0
  }
  const reach = (workers: number) =>
    until(async () => (await ready().catch(() => 0)) >= workers, 90_000, 100)
  const traffic = startTraffic({ url, rps: 25, seed: 1, timeoutMs: 30_000 })
  t.ok(await reach(2), 'a worker more')
  lap(t, 'the first worker that Stoker added')
  t.ok(await reach(5), 'and more')
  const after = (await node.memory(place)).limit
  lap(t, `5 workers; the limit went from ${before / MIB} to ${after / MIB} MiB`)
  t.ok(after > before, 'in more memory')
  await traffic.stop()
  const { containerStatuses } = statusOf(await admin.ok('GET', pathOf(NS, name)))
  t.equal(containerStatuses?.[0]?.restartCount, 0, 'without a restart')
})

t.test('nothing is left of it after helm uninstall', async t => {
  const registration = '/apis/admissionregistration.k8s.io/v1'
  const rbac = '/apis/rbac.authorization.k8s.io/v1'
  const own = `/namespaces/${SYSTEM}`
  const paths = [
    ...['mutatingwebhookconfigurations', 'validatingadmissionpolicies'].map(
      kind => `${registration}/${kind}`,
    ),
    `${registration}/validatingadmissionpolicybindings`,
    ...['clusterroles', 'clusterrolebindings'].map(kind => `${rbac}/${kind}`),
    ...['pods', 'services', 'secrets', 'serviceaccounts'].map(kind => `/api/v1${own}/${kind}`),
    ...['roles', 'rolebindings'].map(kind => `${rbac}${own}/${kind}`),
    `/apis/apps/v1${own}/deployments`,
    `/apis/apps/v1${own}/replicasets`,
    `/apis/policy/v1${own}/poddisruptionbudgets`,
  ]
  const left = async () => {
    const found: string[] = []
    for (const path of paths) {
      const { items } = (await admin.ok('GET', path)) as unknown as { items: Manifest[] }
      const names = items.map(({ metadata }) => metadata.name)
      found.push(...names.filter(each => each.includes('stoker')).map(each => `${path}/${each}`))
    }
    return found
  }
  t.ok((await left()).length >= paths.length - 1, 'before, there is something of each kind')
  await helm('uninstall', 'stoker', '--namespace', SYSTEM, '--wait', '--timeout=120s')
  const [old] = await pods()
  await admin.ok('DELETE', pathOf(NS, old?.metadata?.name ?? ''))
  t.notOk(isInjected(await running(false)), 'a new pod of the Deployment is a plain one')
  await until(async () => (await left()).length === 0, 30_000, 250)
  t.same(await left(), [])
  lap(t, 'uninstalled, and nothing left')
})
