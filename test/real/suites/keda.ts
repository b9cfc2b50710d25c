/**
 * `npm run test:real:keda`: the ScaledObject of k8s/examples on real KEDA, with the real HPA on a real API server, Debian's Prometheus,
 * and real agents beside emulated TorchServes. Load up, Prometheus stopped, load down; the timeline is printed. Minutes.
 */
import { join } from 'node:path'
import t from 'tap'
import type { Body, Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { playNode } from '../cluster/play.ts'
import { startKeda } from '../keda/keda.ts'
import { Players, type Played } from '../keda/players.ts'
import { Requests, Timeline } from '../keda/timeline.ts'
import { startPrometheus } from '../prometheus/prometheus.ts'
import { examples, queryOf } from '../prometheus/queries.ts'
import { until } from '../until.ts'
import { mostArrivals } from '../../../src/decide/erlang.ts'

t.setTimeout(500_000)

const NAMESPACE = 'models'
const SYNC_S = 5
const SCRAPE_MS = 2_000
const shape = {
  model: { name: 'm', serviceMs: 200, loadMs: 2_000 },
  maxWorkers: 2,
  startMs: 8_000,
  node: 'node1',
}
/** What one pod takes. */
const WORTH = mostArrivals(
  shape.maxWorkers,
  { arrivalsPerSecond: 0, serviceMs: shape.model.serviceMs, batchSize: 1, maxBatchDelayMs: 100 },
  1.5 * shape.model.serviceMs,
  0.02,
)

/** As copied, but for where Prometheus is, and for periods that would take the suite an hour. */
function scaledObject(prometheusUrl: string): Manifest {
  const [object] = readManifests(join(examples, 'pods/prometheus.yaml'))
  if (!object) throw new Error('no ScaledObject')
  object.metadata.namespace = NAMESPACE
  const { spec } = object as unknown as {
    spec: {
      advanced: {
        horizontalPodAutoscalerConfig: { behavior: Record<'scaleUp' | 'scaleDown', Rules> }
      }
      triggers: { metadata: Record<string, string> }[]
    }
  }
  const { scaleDown, scaleUp } = spec.advanced.horizontalPodAutoscalerConfig.behavior
  scaleDown.stabilizationWindowSeconds = 30
  for (const rules of [scaleUp, scaleDown])
    for (const policy of rules.policies) policy.periodSeconds = 10
  for (const { metadata } of spec.triggers) metadata['serverAddress'] = prometheusUrl
  return object
}

interface Rules {
  stabilizationWindowSeconds: number
  policies: { periodSeconds: number }[]
}

const cluster = await startKeda(SYNC_S)
t.teardown(() => cluster.stop())
const { admin } = cluster
const prometheus = await startPrometheus([], SCRAPE_MS)
t.teardown(() => prometheus.stop())
await playNode(admin, shape.node, '64Gi')
await cluster.addNamespace(NAMESPACE)

process.setMaxListeners(50)
const players = new Players(admin, NAMESPACE, shape, (serving: readonly Played[]) =>
  prometheus.discover(serving),
)
const playing = players.run()
t.teardown(async () => {
  await players.stop()
  await playing
})
const requests = new Requests(() => players.serving.map(({ emulation }) => emulation.inferenceUrl))
t.teardown(() => requests.stop())

const deployment = readManifests(join(examples, 'torchserve.yaml')).filter(
  ({ kind }) => kind !== 'Service',
)
for (const manifest of deployment) manifest.metadata.namespace = NAMESPACE
await admin.apply(...deployment)

const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/torchserve`
const replicas = async () =>
  ((await admin.ok('GET', path)) as { spec?: { replicas?: number } }).spec?.replicas ?? 0
const query = queryOf('pods/prometheus.yaml', 'demand')
const timeline = new Timeline(async () => ({
  load: requests.rate / WORTH,
  demand: await prometheus.value(query).catch(() => undefined),
  replicas: await replicas(),
  ready: players.serving.length,
  workers: players.serving.reduce(
    (sum, { emulation }) => sum + emulation.core.workersReady('m'),
    0,
  ),
  lost: requests.lost,
}))
t.teardown(() => timeline.stop())

const settlesAt = async (wanted: number, timeoutMs: number) => {
  const isSettled = async () => (await replicas()) === wanted && players.serving.length === wanted
  return until(isSettled, timeoutMs, 500)
}

t.test('one pod under a part of its load stays one', async t => {
  t.ok(await settlesAt(1, 60_000))
  requests.rate = 0.6 * WORTH
  const known = async () => (await prometheus.value(query)) !== undefined
  t.ok(await until(known, 60_000, 500), 'Prometheus has its load')
  await admin.apply(scaledObject(prometheus.url))
  const hpa = `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers/keda-hpa-torchserve`
  const isActive = ({ body }: { body: Body }) =>
    JSON.stringify(body['status'] ?? {}).includes('ValidMetricFound')
  await admin.waitFor(hpa, isActive, 60_000)
  timeline.mark('0.6 pods’ worth')
  t.notOk(await until(async () => (await replicas()) !== 1, 30_000, 500))
})

t.test('3.6 pods’ worth of load brings four pods', async t => {
  timeline.mark('3.6 pods’ worth')
  requests.rate = 3.6 * WORTH
  t.ok(await settlesAt(4, 180_000))
  t.notOk(await until(async () => (await replicas()) !== 4, 60_000, 500), 'and no more')
})

t.test('nothing is scaled in while Prometheus is gone, nor when it is back', async t => {
  timeline.mark('Prometheus stopped')
  const back = prometheus.restart(60_000)
  t.notOk(await until(async () => (await replicas()) !== 4, 60_000, 500))
  await back
  timeline.mark('Prometheus started')
  t.notOk(await until(async () => (await replicas()) !== 4, 30_000, 500))
})

t.test('0.6 pods’ worth of load leaves one, and no request is lost', async t => {
  timeline.mark('0.6 pods’ worth')
  requests.rate = 0.6 * WORTH
  t.ok(await settlesAt(1, 240_000))
  t.equal(requests.lost, 0)
})
