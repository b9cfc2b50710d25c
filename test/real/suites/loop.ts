/**
 * The whole loop on a real node: load → agents → Prometheus → KEDA → HPA → a second real pod, and back to one, with requests that come
 * at their own times through a Service. Then pods are taken away under load, with the drain and without it. A quarter of an hour.
 * With STOKER_PICTURE=FILE the run is drawn.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { SERVICE_IP } from '../cluster/names.ts'
import { startNode } from '../cluster/node.ts'
import { aggregationFlags, startKeda } from '../keda/keda.ts'
import { scale, unscale } from '../keda/scaled-object.ts'
import { startTimeline } from '../loop/timeline.ts'
import { NAMESPACE, workloadOn, WORTH } from '../loop/workload.ts'
import { prepared } from '../memory-pod.ts'
import { startPrometheus } from '../prometheus/prometheus.ts'
import { queryOf } from '../prometheus/queries.ts'
import { judge, startTraffic, type Traffic, type Verdict } from '../traffic.ts'

t.setTimeout(1_100_000)

const HPA_SYNC_S = 5
const SCRAPE_MS = 2_000
const POD_MS = 120_000
const ROUNDS = 3
/** So much that a pod has hardly ever nothing to do, and that the other's queue does not fill up while it goes. */
const BUSY = 5

const node = await startNode({ isCluster: true, hpaSyncS: HPA_SYNC_S, flags: aggregationFlags })
t.teardown(() => node.stop())
await prepared(node, NAMESPACE)
const keda = await startKeda({ ...node, url: `https://${SERVICE_IP}` })
t.teardown(() => keda.stop())
const prometheus = await startPrometheus([], SCRAPE_MS, {}, node)
t.teardown(() => prometheus.stop())
const query = queryOf('pods/prometheus.yaml', 'demand')
const workload = await workloadOn(node)
await workload.deploy(true)

let load = 0
let seed = 0
const timeline = startTimeline({ node, workload, prometheus, query, load: () => load })
t.teardown(() => timeline.stop())

/** Each request on a connection of its own, so that the Service chooses a pod for each. */
function send(pods: number): Traffic & { change(pods: number): void } {
  const headers = { connection: 'close' }
  load = pods
  const options = { url: workload.url, rps: pods * WORTH, timeoutMs: 30_000, headers }
  const traffic = startTraffic({ ...options, seed: ++seed }, node.inNetwork)
  return {
    ...traffic,
    change(to) {
      timeline.mark(`${to} pods’ worth`)
      load = to
      traffic.setRate(to * WORTH)
    },
    async stop() {
      load = 0
      return traffic.stop()
    },
  }
}

const settlesAt = (wanted: number, timeoutMs = POD_MS) =>
  timeline.sees(
    ({ replicas, ready, staying, ending }) =>
      replicas === wanted && ready === wanted && staying === wanted && ending === 0,
    timeoutMs,
  )
const leaves = (wanted: number, timeoutMs: number) =>
  timeline.sees(({ replicas }) => replicas !== wanted, timeoutMs)

function told({ sent, answered, lost, hung, latencyMs }: Verdict): string {
  const { p50, p99, max } = latencyMs
  const outcomes = [...new Set(lost.map(({ outcome }) => outcome))].join(', ') || 'none'
  const times = [p50, p99, max].map(Math.round).join(', ')
  return `${sent} sent, ${answered} answered, ${lost.length} lost (${outcomes}), ${hung.length} hung; p50, p99, max: ${times} ms`
}

t.test('load → pods → load, through Prometheus, KEDA and the HPA', async t => {
  t.ok(await settlesAt(1), 'one pod serves')
  const traffic = send(0.6)
  timeline.mark('0.6 pods’ worth')
  t.ok(await timeline.sees(({ demand }) => demand !== undefined, 60_000), 'its load is known')
  await scale(node.admin, NAMESPACE, prometheus.url)
  t.notOk(await leaves(1, 30_000), 'one pod under a part of its load stays one')

  const { asked, used } = timeline.last()
  t.ok(
    asked < 1.5 * used,
    `it asks for what its workers need: ${asked} MiB, of which ${used} are used`,
  )

  traffic.change(1.5)
  t.ok(await settlesAt(2), 'more brings a second')
  const arrivals = `max by (pod) (stoker_arrivals_per_second{namespace="${NAMESPACE}"})`
  t.notOk(await leaves(2, 45_000), 'and no third')
  const share = await prometheus.value(`min(${arrivals}) / sum(${arrivals})`)
  t.ok(share !== undefined && share > 0.25, `which gets its share: ${share}`)
  t.ok(timeline.last().asked > 1.5 * asked, 'and its own memory')

  timeline.mark('Prometheus stopped')
  const back = prometheus.restart(60_000)
  t.notOk(await leaves(2, 60_000), 'nothing is scaled in while Prometheus is gone')
  await back
  timeline.mark('started')
  t.notOk(await leaves(2, 30_000), 'nor when it is back')

  traffic.change(0.4)
  t.ok(await settlesAt(1, 240_000), 'back to one')
  await sleep(5_000)
  const report = await traffic.stop()
  const verdict = judge(report, workload.model.log('m').executions)
  t.comment(told(verdict))
  t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []], 'no request was lost')
  t.equal(timeline.last().restarts, 0, 'nothing restarted')
  const file = process.env['STOKER_PICTURE']
  if (file) writeFileSync(file, timeline.drawn())
})

for (const drain of [false, true])
  t.test(`a pod that goes under load, ${drain ? 'with' : 'without'} the drain`, async t => {
    if (!drain) await unscale(node.admin, NAMESPACE)
    await workload.deploy(drain)
    await workload.setReplicas(2)
    let lost = 0
    for (let round = 1; round <= ROUNDS; round++) {
      await workload.setReplicas(2)
      t.ok(await settlesAt(2), 'two pods serve')
      const traffic = send(BUSY)
      timeline.mark(`${BUSY} pods’ worth`)
      await sleep(10_000)
      timeline.mark('one replica less')
      await workload.setReplicas(1)
      t.ok(await settlesAt(1), 'one goes')
      const verdict = judge(await traffic.stop(), workload.model.log('m').executions)
      t.comment(`${drain ? 'with' : 'without'} the drain: ${told(verdict)}`)
      t.same([verdict.hung, verdict.repeated], [[], []])
      lost += verdict.lost.length
    }
    if (drain) t.equal(lost, 0, 'no request was lost')
    else t.ok(lost > 0, `${lost} requests were lost`)
  })
