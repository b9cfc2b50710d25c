/**
 * Draws docs/dashboard-torchserve.png and docs/dashboard-pods.png: the dashboards over what Debian's Prometheus has scraped. The
 * first shows the agent of `npm run demo` on an emulated GPU; the second one
 * the Deployment of the examples on real KEDA, with the real HPA and kube-state-metrics. A quarter of an hour.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { wallClock as clock } from '../../../src/clock.ts'
import { parseConfig } from '../../../src/config.ts'
import { startDemo } from '../../../src/simulate/demo.ts'
import { start } from '../../../src/start.ts'
import { dashboards } from '../../dashboards.ts'
import { startStateMetrics } from '../keda/state-metrics.ts'
import { startWorld, WORTH } from '../keda/world.ts'
import { draw } from '../pictures/draw.ts'
import { startPrometheus } from '../prometheus/prometheus.ts'
import { until } from '../until.ts'

t.setTimeout(1_000_000)

const SCRAPE_MS = 2_000
const docs = join(import.meta.dirname, '../../../docs')

/** What need not come to pass: a person is needed for nothing, nothing fails. */
const mayBeEmpty = ['Notes', 'Errors', 'Pods at a limit']

const picture = async (name: string, prometheusUrl: string, fromMs: number) => {
  const dashboard = dashboards.find(({ file }) => file === `${name}.json`)
  if (!dashboard) throw new Error(`There is no dashboard ${name}`)
  const given = { dashboard, prometheusUrl, fromMs, toMs: Date.now(), scrapeMs: SCRAPE_MS }
  return draw(given, join(docs, `dashboard-${name}.png`))
}

/** Its agent's address. */
async function startDemoAgent(t: Test) {
  const demo = await startDemo({ clock, gpu: 'a100' })
  const stop = new AbortController()
  const shown = Promise.withResolvers<string>()
  const settings = { ...demo.env, STOKER_LISTEN_HOST: '127.0.0.1', STOKER_LISTEN_PORT: '0' }
  const shownAt = async (url: string) => {
    shown.resolve(await demo.show(url, { host: '127.0.0.1', port: 0 }))
    return shown.promise
  }
  const host = { ...demo.host, shownAt }
  const write = () => {}
  const running = start(parseConfig(settings), { version: '0.1.0', write, host }, stop.signal)
  t.teardown(async () => {
    stop.abort()
    await running
    await demo.close()
  })
  running.catch(shown.reject)
  return {
    agent: new URL(await shown.promise),
    torchserve: new URL(demo.env['STOKER_METRICS_URL'] ?? ''),
  }
}

const pod = {
  namespace: 'models',
  pod: 'torchserve-5d9c7b-x2v8q',
  controller: 'torchserve-5d9c7b',
}

t.test('torchserve.json, over the demo', async t => {
  const { agent, torchserve } = await startDemoAgent(t)
  const targets = [
    { ...pod, address: agent.host },
    { ...pod, address: torchserve.host, port: 'metrics' as const },
  ]
  const prometheus = await startPrometheus(targets, SCRAPE_MS)
  t.teardown(() => prometheus.stop())
  const fromMs = Date.now()
  // The demo's load: a step at 15 s, a ramp from 105 s, bursts from 205 s.
  await sleep(310_000)
  const empty = await picture('torchserve', prometheus.url, fromMs)
  t.strictSame(
    empty.filter(title => !mayBeEmpty.includes(title)),
    [],
    'panels without data',
  )
})

t.test('pods.json, over KEDA', async t => {
  const { prometheus, replicas, requests, scale, settlesAt } = await startWorld(
    t,
    SCRAPE_MS,
    async cluster => {
      const stateMetrics = await startStateMetrics(cluster)
      t.teardown(() => stateMetrics.stop())
      return { keda: cluster.operatorMetrics, 'kube-state-metrics': stateMetrics.address }
    },
  )
  const fromMs = Date.now()
  t.ok(await settlesAt(1, 60_000))
  requests.rate = 0.6 * WORTH
  await sleep(30_000)
  await scale()
  await sleep(30_000)
  requests.rate = 3.6 * WORTH
  t.ok(await settlesAt(4, 180_000))
  await sleep(30_000)
  requests.rate = 0.6 * WORTH
  t.ok(await until(async () => (await replicas()) === 1, 240_000))
  const empty = await picture('pods', prometheus.url, fromMs)
  t.strictSame(
    empty.filter(title => !mayBeEmpty.includes(title)),
    [],
    'panels without data',
  )
})
