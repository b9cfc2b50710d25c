/**
 * The example's Deployment, its ScaledObject on real KEDA with the real HPA, Debian's Prometheus over the agents of its pods, and
 * requests at random to those that serve.
 */
import { join } from 'node:path'
import type { Test } from 'tap'
import { mostArrivals } from '../../../src/decide/erlang.ts'
import { readManifests } from '../cluster/manifests.ts'
import { playNode } from '../cluster/play.ts'
import { startPrometheus } from '../prometheus/prometheus.ts'
import { examples } from '../prometheus/queries.ts'
import { until } from '../until.ts'
import { startPlayedCluster, type PlayedCluster } from './played-cluster.ts'
import { Players, type Played } from './players.ts'
import { scale } from './scaled-object.ts'
import { Requests } from './timeline.ts'

const NAMESPACE = 'models'
const SYNC_S = 5
const shape = {
  model: { name: 'm', serviceMs: 200, loadMs: 2_000 },
  maxWorkers: 2,
  startMs: 8_000,
  node: 'node1',
}
/** What one pod takes, in requests a second. */
export const WORTH = mostArrivals(
  shape.maxWorkers,
  { arrivalsPerSecond: 0, serviceMs: shape.model.serviceMs, batchSize: 1, maxBatchDelayMs: 100 },
  1.5 * shape.model.serviceMs,
  0.02,
)

/** `jobs`: what else Prometheus scrapes, by name, at host:port. */
export async function startWorld(
  t: Test,
  scrapeMs: number,
  jobs: (cluster: PlayedCluster) => Promise<Record<string, string>> = () => Promise.resolve({}),
) {
  const cluster = await startPlayedCluster(SYNC_S)
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const prometheus = await startPrometheus([], scrapeMs, await jobs(cluster))
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
  const requests = new Requests(() =>
    players.serving.map(({ emulation }) => emulation.inferenceUrl),
  )
  t.teardown(() => requests.stop())

  const deployment = readManifests(join(examples, 'torchserve.yaml')).filter(
    ({ kind }) => kind !== 'Service',
  )
  for (const manifest of deployment) manifest.metadata.namespace = NAMESPACE
  await admin.apply(...deployment)

  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/torchserve`
  const replicas = async () =>
    ((await admin.ok('GET', path)) as { spec?: { replicas?: number } }).spec?.replicas ?? 0
  return {
    prometheus,
    players,
    requests,
    replicas,
    settlesAt: (wanted: number, timeoutMs: number) =>
      until(
        async () => (await replicas()) === wanted && players.serving.length === wanted,
        timeoutMs,
        500,
      ),
    scale: () => scale(admin, NAMESPACE, prometheus.url),
  }
}
