/** With Debian's promtool: rules and alerts do what their tests say, the jobs are sound, and /metrics has nothing to lint. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { startTorchServe } from '../../../src/simulate/torchserve.ts'
import { filledIn } from '../../dashboard-queries.ts'
import { dashboards } from '../../dashboards.ts'
import { startAgent } from '../agent.ts'
import { configuration, files, promtool } from '../prometheus/prometheus.ts'
import { queryOf } from '../prometheus/queries.ts'
import { until } from '../until.ts'

t.setTimeout(60_000)

const folder = join(import.meta.dirname, '../prometheus')

for (const file of ['rules.test.yaml', 'alerts.test.yaml']) {
  t.test(file, async t => {
    const { code, said } = await promtool(['test', 'rules', join(folder, file)])
    t.equal(code, 0, said)
  })
}

t.test('rules and jobs pass promtool’s checks', async t => {
  const names = ['rules.yaml', 'alerts.yaml'].map(name => join(files, name))
  const rules = await promtool(['check', 'rules', '--lint-fatal', ...names])
  t.equal(rules.code, 0, rules.said)
  const whole = join(t.testdir(), 'prometheus.yaml')
  writeFileSync(whole, configuration('/targets.json', 5_000, names))
  const config = await promtool(['check', 'config', '--lint-fatal', whole])
  t.equal(config.code, 0, config.said)
})

interface Case {
  says: string
  query: string
  series: Record<string, string>
  /** null: none. */
  expected: number | null
}

const torchserve = 'namespace="models",workload="torchserve"'
const listed = `up{${torchserve},pod="a",endpoint="stoker-metrics"}`
const demand = `stoker_pod_demand{${torchserve},pod="a"}`
const asked = (code: number) =>
  `istio_requests_total{destination_service_name="torchserve",destination_service_namespace="models",response_code="${code}"}`
const replicas = 'kube_deployment_spec_replicas{namespace="models",deployment="torchserve"}'

const fromOne = queryOf('pods/prometheus.yaml', 'demand')
const fromZero = queryOf('pods/from-zero.yaml', 'demand')
const wanted = queryOf('pods/from-zero.yaml', 'wanted')
const toCome = queryOf('nodes/placeholders.yaml', 'to-come')

/** The query of a panel, over all of its series. */
function panel(title: string): string {
  const found = dashboards.flatMap(({ panels }) => panels).find(each => each.title === title)
  return `sum(${filledIn(found?.targets?.[0]?.expr ?? '', '1m')})`
}

const version = (name: string, number: number, more: string) =>
  `${name}{namespace="models",workload="torchserve",pod="a",model="m",version="${number}",${more}}`

/** After twenty minutes, seen every 5 s. */
const cases: Case[] = [
  {
    says: 'the demand',
    query: fromOne,
    series: { [listed]: '1x240', [demand]: '1.5x240' },
    expected: 1.5,
  },
  {
    says: 'the demand where two Prometheus servers tell it',
    query: fromOne,
    series: {
      [`workload:stoker_pod_demand:sum{${torchserve},replica="a"}`]: '1.5x240',
      [`workload:stoker_pod_demand:sum{${torchserve},replica="b"}`]: '1.5x240',
    },
    expected: 1.5,
  },
  { says: 'nothing known is no number', query: fromOne, series: {}, expected: null },
  {
    says: 'from zero: no pod wants none',
    query: fromZero,
    series: { [replicas]: '0x240' },
    expected: 0,
  },
  {
    says: 'from zero: a first pod that Prometheus does not know yet is no number',
    query: fromZero,
    series: { [replicas]: '1x240' },
    expected: null,
  },
  {
    says: 'from zero: a first pod that starts keeps its place',
    query: fromZero,
    series: { [replicas]: '1x240', [listed]: '1x240' },
    expected: 1,
  },
  {
    says: 'from zero: a broken scrape is no number',
    query: fromZero,
    series: { [replicas]: '3x240', [demand]: '2x60' },
    expected: null,
  },
  {
    says: 'from zero: pods tell',
    query: fromZero,
    series: { [replicas]: '3x240', [listed]: '1x240', [demand]: '2.5x240' },
    expected: 2.5,
  },
  {
    says: 'to zero: nobody asked for five minutes',
    query: wanted,
    series: { [asked(200)]: '0+1x120 120x120' },
    expected: 0,
  },
  {
    says: 'to zero: somebody asked',
    query: wanted,
    series: { [asked(200)]: '0+1x200 200x40' },
    expected: 1,
  },
  {
    says: 'from zero: the first request ever wakes it',
    query: wanted,
    series: { [asked(503)]: '_x236 1x4' },
    expected: 1,
  },
  {
    says: 'from zero: the first request that finds no pod wakes it',
    query: wanted,
    series: { [asked(200)]: '7x240', [asked(503)]: '_x236 1x4' },
    expected: 1,
  },
  { says: 'from zero: no gateway is no number', query: wanted, series: {}, expected: null },
  {
    says: 'placeholders for what is to come and not yet asked for',
    query: toCome,
    // By 0.3 a minute: 8 now, 9.5 in five minutes.
    series: { [replicas]: '8x240', [listed]: '1x240', [demand]: '2+0.025x240' },
    expected: 2,
  },
  {
    says: 'no placeholder while the load is steady',
    query: toCome,
    series: { [replicas]: '2x240', [listed]: '1x240', [demand]: '1.9x240' },
    expected: 0,
  },
  {
    says: 'no placeholder where more pods are there than will be needed',
    query: toCome,
    series: { [replicas]: '9x240', [listed]: '1x240', [demand]: '1.9x240' },
    expected: 0,
  },
  {
    says: 'reasons are shares of all decisions, of all versions',
    query: panel('Decisions by reason'),
    series: {
      [version('stoker_decisions_total', 1, 'reason="steady"')]: '0+3x240',
      [version('stoker_decisions_total', 1, 'reason="demand"')]: '0+2x240',
      [version('stoker_decisions_total', 2, 'reason="steady"')]: '0+5x240',
    },
    expected: 1,
  },
  {
    says: 'workers that went, of all versions',
    query: panel('Workers taken down'),
    series: {
      [version('stoker_worker_downs_total', 1, 'sureness="retired"')]: '0+1x240',
      [version('stoker_worker_downs_total', 2, 'sureness="retired"')]: '0+1x240',
    },
    expected: 24,
  },
]

t.test('the queries of the examples and of panels', async t => {
  const file = join(t.testdir(), 'queries.test.yaml')
  const tests = cases.map(({ says, query, series, expected }) => ({
    name: says,
    interval: '5s',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [
      {
        expr: query,
        eval_time: '20m',
        exp_samples: expected === null ? [] : [{ labels: '{}', value: expected }],
      },
    ],
  }))
  const rule_files = [join(files, 'rules.yaml')]
  writeFileSync(file, stringify({ rule_files, evaluation_interval: '5s', tests }))
  const { code, said } = await promtool(['test', 'rules', file])
  t.equal(code, 0, said)
})

t.test('a scrape of a real agent has nothing to lint, and a bad one has', async t => {
  const emulation = await startTorchServe({ models: [{ name: 'm' }] })
  t.teardown(() => emulation.close())
  const agent = await startAgent({
    managementUrl: new URL(emulation.managementUrl),
    metricsUrl: new URL(emulation.metricsUrl),
    inferenceUrl: new URL(emulation.inferenceUrl),
  })
  t.teardown(() => agent.kill())
  await fetch(`${emulation.inferenceUrl}/predictions/m`, { method: 'POST', body: '{}' })
  t.ok(await until(async () => /^stoker_pod_demand /m.test(await agent.get('/metrics')), 20_000))
  const { code, said } = await promtool(['check', 'metrics'], await agent.get('/metrics'))
  t.equal(code, 0, said)
  t.equal((await promtool(['check', 'metrics'], 'wait_milliseconds 1\n')).code, 3)
})
