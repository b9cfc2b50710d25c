/**
 * Which pods a real ReplicaSet controller takes first: three pods with real agents beside emulated TorchServes, of which one has much
 * to do, one little and one nothing. Once without deletion costs, and once with those that the agents write by themselves.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startTorchServe, type Emulation } from '../../../src/simulate/torchserve.ts'
import { startAgent } from '../agent.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import { program } from '../cluster/build.ts'
import { STRATEGIC, type Body, type Metadata } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { playNode } from '../cluster/play.ts'
import { mayChangePods } from '../cluster/rights.ts'
import { startGuarded } from '../guard.ts'
import { Requests } from '../keda/timeline.ts'
import { until } from '../until.ts'
import { kubeConfig } from '../webhook.ts'

t.setTimeout(300_000)

const NS = 'models'
const COST = 'controller.kubernetes.io/pod-deletion-cost'
const SERVICE_MS = 100
/** Requests a second; the busiest is the last to be ready, and so the first to go where nothing else counts. */
const RATES = [0, 2, 15]
const HOUR_MS = 3_600_000

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
await server.addNamespace(NS)
await playNode(admin, 'node1', '64Gi')
const policy = join(import.meta.dirname, '../../../k8s/policies/deletion-cost-own-pod.yaml')
const subject = { kind: 'ServiceAccount', name: 'default' } as const
await admin.apply(
  ...readManifests(policy),
  ...mayChangePods(NS, subject, ['patch', 'set-own-deletion-cost']),
)

const folder = join(server.folder, 'controllers')
mkdirSync(folder)
writeFileSync(join(folder, 'kubeconfig'), kubeConfig(server, server.tokens.admin), { mode: 0o600 })
const controllers = startGuarded(
  [
    await program('kube-controller-manager'),
    `--kubeconfig=${join(folder, 'kubeconfig')}`,
    '--controllers=replicaset-controller',
    '--leader-elect=false',
    '--secure-port=0',
  ],
  { folder },
)
t.teardown(() => controllers.release())

interface Pod extends Body {
  metadata: Metadata & { name: string; uid: string }
}

async function podsOf(app: string): Promise<Pod[]> {
  const path = `/api/v1/namespaces/${NS}/pods?labelSelector=app%3D${app}`
  const { items } = (await admin.ok('GET', path)) as unknown as { items: Pod[] }
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

const scale = (app: string, replicas: number) =>
  admin.ok(
    'PATCH',
    `/apis/apps/v1/namespaces/${NS}/replicasets/${app}`,
    { spec: { replicas } },
    STRATEGIC,
  )

/** Three pods, each ready since long before the next; their names in that order. */
async function replicaSet(app: string): Promise<Pod[]> {
  const containers = [{ name: 'torchserve', image: 'played' }]
  await admin.apply({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: app, namespace: NS },
    spec: {
      replicas: RATES.length,
      selector: { matchLabels: { app } },
      template: { metadata: { labels: { app } }, spec: { nodeName: 'node1', containers } },
    },
  })
  const isThere = async () => (await podsOf(app)).length === RATES.length
  if (!(await until(isThere, 60_000))) throw new Error('The controller made no pods')
  const pods = await podsOf(app)
  for (const [place, { metadata }] of pods.entries()) {
    const readyMs = Date.now() - HOUR_MS / 20 ** place
    const since = new Date(readyMs).toISOString().replace(/\.\d+Z$/, 'Z')
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: since }]
    const status = { phase: 'Running', conditions }
    const path = `/api/v1/namespaces/${NS}/pods/${metadata.name}/status`
    await admin.ok('PATCH', path, { status }, STRATEGIC)
  }
  return pods
}

/** The places of those that are left, with one replica less and then two. */
async function scaledIn(t: Test, app: string, pods: readonly Pod[]): Promise<number[][]> {
  const left: number[][] = []
  for (const replicas of [2, 1]) {
    await scale(app, replicas)
    t.ok(await until(async () => (await podsOf(app)).length === replicas, 30_000))
    const names = new Set((await podsOf(app)).map(({ metadata }) => metadata.name))
    left.push([...pods.keys()].filter(place => names.has(pods[place]?.metadata.name ?? '')))
  }
  return left
}

async function torchServe(rate: number): Promise<Emulation> {
  const model = { name: 'm', serviceMs: SERVICE_MS, loadMs: 500 }
  const emulation = await startTorchServe({ models: [model] })
  const requests = new Requests(() => [emulation.inferenceUrl])
  requests.rate = rate
  t.teardown(async () => {
    requests.stop()
    await emulation.close()
  })
  return emulation
}

async function agentIn({ metadata: { name, uid } }: Pod, beside: Emulation): Promise<void> {
  const { hostname, port } = new URL(server.url)
  const pod = { name, uid }
  const tokenFile = await server.tokenFile({ namespace: NS, serviceAccount: 'default', pod })
  const urls = {
    inferenceUrl: new URL(beside.inferenceUrl),
    managementUrl: new URL(beside.managementUrl),
    metricsUrl: new URL(beside.metricsUrl),
  }
  const agent = await startAgent(urls, {
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
    STOKER_POD_NAME: name,
    STOKER_POD_NAMESPACE: NS,
    STOKER_POD_UID: uid,
    STOKER_CONTAINER: 'torchserve',
    STOKER_TOKEN_FILE: tokenFile,
    STOKER_CLUSTER_CA_FILE: server.caFile,
    STOKER_DELETION_COST: 'write',
    // Emulated workers are no processes that could be measured.
    STOKER_WORKER_MEMORY: '1Mi',
  })
  t.teardown(() => agent.kill())
}

t.test('without deletion costs the youngest goes first, however busy it is', async t => {
  const pods = await replicaSet('plain')
  t.strictSame(await scaledIn(t, 'plain', pods), [[0, 1], [0]])
})

t.test('with them the idlest goes first', async t => {
  const pods = await replicaSet('costed')
  const servers = await Promise.all(RATES.map(torchServe))
  for (const [place, pod] of pods.entries()) {
    const beside = servers[place]
    if (beside) await agentIn(pod, beside)
  }
  const costs = async () =>
    (await podsOf('costed')).map(({ metadata }) => Number(metadata.annotations?.[COST] ?? NaN))
  t.ok(await until(async () => !(await costs()).includes(NaN), 60_000), 'each writes its own')
  const [idle = NaN, calm = NaN, busy = NaN] = await costs()
  t.ok(idle < calm && calm < busy, `${idle} < ${calm} < ${busy}`)
  t.comment(`deletion costs ${idle}, ${calm}, ${busy}`)
  t.strictSame(await scaledIn(t, 'costed', pods), [[1, 2], [2]])
})
