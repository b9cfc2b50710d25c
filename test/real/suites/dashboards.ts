/**
 * Every query of the dashboards on Debian's Prometheus, which scrapes the agent of `npm run demo` on a GPU, and an agent with an
 * emulated TorchServe’s own page: each has data, and legends that differ. Listed here is what that world lacks. The chart hands
 * the dashboards to Grafana as they are.
 */
import { spawn } from 'node:child_process'
import t from 'tap'
import { startTorchServe } from '../../../src/simulate/torchserve.ts'
import { filledIn } from '../../dashboard-queries.ts'
import { dashboards } from '../../dashboards.ts'
import { startAgent } from '../agent.ts'
import { MAIN } from '../demo.ts'
import { render } from '../helm.ts'
import { startPrometheus } from '../prometheus/prometheus.ts'
import { until } from '../until.ts'

t.setTimeout(180_000)

const SCRAPE_MS = 1_000
const WATCH_MS = 90_000
const LOOK_MS = 2_000
const CALL_MS = 5_000
const START_MS = 60_000

/** KEDA's and kube-state-metrics', of which none runs here. */
const elsewhere = /\b(?:keda|kube)_/
/** What need not come to pass in it, by panel and query: rejections, a ceiling, a knee, notes, a refused resize. */
const mayLack = new Set([
  'Answers by TorchServe, C',
  'Limits of workers, C',
  'Limits of workers, D',
  'Notes, A',
  'Bounds of memory, B',
])

const pod = (address: string, index: number) => ({
  address,
  namespace: 'models',
  pod: `torchserve-5d9c7b-${index}`,
  controller: 'torchserve-5d9c7b',
})

async function startDemo(): Promise<string> {
  const demo = spawn(process.execPath, [MAIN, 'demo', '--port', '0', '--gpu', 'a100'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => demo.kill('SIGKILL'))
  process.once('exit', () => demo.kill('SIGKILL'))
  let printed = ''
  demo.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()))
  const address = () => /watch at http:\/\/([^/\s]+)/.exec(printed)?.[1]
  if (!(await until(() => address() !== undefined, START_MS))) throw new Error(printed)
  return address() ?? ''
}

/** A TorchServe whose own page is scraped, too. */
async function startServed(): Promise<{ agent: string; torchserve: string }> {
  const emulation = await startTorchServe({ models: [{ name: 'm', serviceMs: 50 }] })
  const going = new AbortController()
  const { signal } = going
  const users = setInterval(() => {
    for (const model of ['m', 'none'])
      fetch(`${emulation.inferenceUrl}/predictions/${model}`, {
        method: 'POST',
        body: '{}',
        signal,
      })
        .then(reply => reply.text())
        .catch(() => undefined)
  }, 100)
  t.teardown(async () => {
    clearInterval(users)
    going.abort()
    await emulation.close()
  })
  const agent = await startAgent({
    managementUrl: new URL(emulation.managementUrl),
    metricsUrl: new URL(emulation.metricsUrl),
    inferenceUrl: new URL(emulation.inferenceUrl),
  })
  t.teardown(() => agent.kill())
  return { agent: new URL(agent.url).host, torchserve: new URL(emulation.metricsUrl).host }
}

interface Series {
  metric: Record<string, string>
}

const prometheusUrl = await start()

async function start(): Promise<string> {
  const served = await startServed()
  const demo = await startDemo()
  const targets = [
    pod(demo, 0),
    pod(served.agent, 1),
    { ...pod(served.torchserve, 1), port: 'metrics' as const },
  ]
  const prometheus = await startPrometheus(targets, SCRAPE_MS)
  t.teardown(() => prometheus.stop())
  return prometheus.url
}

/** As a panel asks: over the time that is shown, in steps. */
async function ask(expression: string, fromMs: number): Promise<Series[]> {
  const query = new URL('/api/v1/query_range', prometheusUrl)
  query.searchParams.set('query', expression)
  query.searchParams.set('start', String(fromMs / 1_000))
  query.searchParams.set('end', String(Date.now() / 1_000))
  query.searchParams.set('step', String(SCRAPE_MS / 1_000))
  const reply = await fetch(query, { signal: AbortSignal.timeout(CALL_MS) })
  const { error, data } = (await reply.json()) as { error?: string; data?: { result: Series[] } }
  if (!data) throw new Error(`${expression}: ${error}`)
  return data.result
}

const fromMs = Date.now()
const queries = dashboards.flatMap(({ file, panels }) =>
  panels.flatMap(({ title, targets = [] }) =>
    targets.map(target => ({ ...target, file, name: `${title}, ${target.refId}` })),
  ),
)
const found = new Map<(typeof queries)[number], Series[]>()

async function look(): Promise<boolean> {
  for (const query of queries.filter(each => !found.get(each)?.length))
    found.set(query, await ask(filledIn(query.expr, `${4 * (SCRAPE_MS / 1_000)}s`), fromMs))
  return queries.every(each => found.get(each)?.length || isExcused(each))
}

const isExcused = ({ name, expr }: { name: string; expr: string }) =>
  mayLack.has(name) || elsewhere.test(expr)

await until(look, WATCH_MS, LOOK_MS)

for (const { file } of dashboards) {
  t.test(file, async t => {
    for (const query of queries.filter(each => each.file === file)) {
      const series = found.get(query) ?? []
      t.ok(series.length > 0 || isExcused(query), `${query.name} has data: ${query.expr}`)
      const legends = series.map(({ metric }) =>
        query.legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
      )
      t.equal(new Set(legends).size, legends.length, `${query.name}: ${legends.join(' | ')}`)
    }
  })
}

t.test('the chart has them as they are, where and as the sidecar looks for them', async t => {
  const isOne = ({ kind, metadata }: { kind: string; metadata: { name: string } }) =>
    kind === 'ConfigMap' && metadata.name.endsWith('-dashboards')
  t.same((await render('stoker-system')).filter(isOne), [])
  const asked = ['enabled=true', 'namespace=monitoring', 'annotations.grafana_folder=Stoker']
  const rendered = await render('stoker-system', ...asked.map(each => `--set=dashboards.${each}`))
  const [map] = rendered.filter(isOne)
  t.match(map?.metadata, {
    namespace: 'monitoring',
    labels: { grafana_dashboard: '1' },
    annotations: { grafana_folder: 'Stoker' },
  })
  const { data = {} } = map as unknown as { data?: Record<string, string> }
  t.same(
    Object.entries(data).map(([name, text]) => ({ ...JSON.parse(text), file: name })),
    dashboards.map(dashboard => ({ ...dashboard, file: `stoker-${dashboard.file}` })),
  )
})
