/**
 * `npm run test:real:keda`: the ScaledObject of k8s/examples on real KEDA, with the real HPA on a real API server, Debian's Prometheus,
 * and real agents beside emulated TorchServes. Load up, Prometheus stopped, load down; the timeline is printed. Minutes.
 */
import t from 'tap'
import { Timeline } from '../keda/timeline.ts'
import { startWorld, WORTH } from '../keda/world.ts'
import { queryOf } from '../prometheus/queries.ts'
import { until } from '../until.ts'

t.setTimeout(500_000)

const SCRAPE_MS = 2_000

const { players, prometheus, replicas, requests, scale, settlesAt } = await startWorld(t, SCRAPE_MS)
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

t.test('one pod under a part of its load stays one', async t => {
  t.ok(await settlesAt(1, 60_000))
  requests.rate = 0.6 * WORTH
  const known = async () => (await prometheus.value(query)) !== undefined
  t.ok(await until(known, 60_000, 500), 'Prometheus has its load')
  await scale()
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
