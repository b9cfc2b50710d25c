/** What of the dashboards can be held without Prometheus; the rest is in test/real/suites/dashboards.ts. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { metricTable } from '../src/export/metric-table.ts'
import { dashboards, type Panel } from './dashboards.ts'

/** TorchServe's, in its metrics mode prometheus. */
const torchserve = [
  'ts_inference_requests_total',
  'ts_inference_latency_microseconds',
  'ts_queue_latency_microseconds',
  'Requests2XX',
  'Requests4XX',
  'Requests5XX',
]
/** Of the operator of KEDA 2.21. */
const keda = [
  'keda_scaler_active',
  'keda_scaler_metrics_value',
  'keda_scaler_metrics_latency_seconds',
  'keda_scaler_detail_errors_total',
  'keda_scaled_object_errors_total',
  'keda_scaled_object_paused',
  'keda_internal_scale_loop_latency_seconds',
]
const kubeStateMetrics = [
  'kube_horizontalpodautoscaler_info',
  'kube_horizontalpodautoscaler_spec_min_replicas',
  'kube_horizontalpodautoscaler_spec_max_replicas',
  'kube_horizontalpodautoscaler_spec_target_metric',
  'kube_horizontalpodautoscaler_status_current_replicas',
  'kube_horizontalpodautoscaler_status_desired_replicas',
  'kube_horizontalpodautoscaler_status_target_metric',
  'kube_horizontalpodautoscaler_status_condition',
  'kube_deployment_spec_replicas',
  'kube_deployment_status_replicas_available',
]
const prometheus = ['up', 'ALERTS']

const { groups } = parse(readFileSync('k8s/prometheus/rules.yaml', 'utf8')) as {
  groups: { rules: { record: string }[] }[]
}
const known = new Set([
  ...metricTable.map(({ name }) => name),
  'stoker_tick_duration_seconds_bucket',
  ...groups.flatMap(({ rules }) => rules.map(({ record }) => record)),
  ...torchserve,
  ...keda,
  ...kubeStateMetrics,
  ...prometheus,
])

/** What a query selects: the dashboards write every selector with its braces, and other names are labels or functions. */
const metricsOf = (text: string) => [...text.matchAll(/([\w:]+)\{/g)].map(([, name = '']) => name)
const bare = /(?<![:\w])(?:stoker|ts|keda|kube)_\w+\b(?![:{])/

const isRow = ({ type }: Panel) => type === 'row'

for (const { file, panels, templating, links } of dashboards) {
  t.test(file, async t => {
    const shown = panels.filter(panel => !isRow(panel))
    const queries = shown.flatMap(({ targets = [] }) => targets)
    const variables = templating.list
    t.ok(queries.length > 20)

    t.test('asks only for metrics that there are', async t => {
      for (const text of [
        ...queries.map(({ expr }) => expr),
        ...variables.flatMap(({ type, query }) => (type === 'query' ? query : [])),
      ]) {
        const asked = metricsOf(text.replace(/^label_values\((\w+),/, '$1{'))
        t.ok(asked.length > 0, text)
        t.notMatch(text.replace(/^label_values\(\w+,/, ''), bare)
        t.same(
          asked.filter(name => !known.has(name)),
          [],
          text,
        )
      }
    })

    t.test('every panel can be told from others and says what it shows, in what', async t => {
      const ids = panels.map(({ id }) => id)
      t.equal(new Set(ids).size, ids.length, 'ids')
      const titles = shown.map(({ title }) => title)
      t.equal(new Set(titles).size, titles.length, 'titles')
      for (const { title, description, fieldConfig, targets = [] } of shown) {
        t.ok(description?.endsWith('.'), `${title}: description`)
        t.ok(fieldConfig?.defaults.unit, `${title}: unit`)
        const refs = targets.map(({ refId }) => refId)
        t.ok(refs.length > 0 && new Set(refs).size === refs.length, `${title}: queries`)
      }
    })

    t.test('no panel lies over another', async t => {
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from(
          { length: w * h },
          (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`,
        ),
      )
      t.equal(new Set(cells).size, cells.length)
      t.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
    })

    t.test('names nothing of one installation', async t => {
      const names = new Set(variables.map(({ name }) => name))
      for (const { title, datasource, targets = [] } of shown) {
        for (const { uid } of [datasource ?? { uid: '' }, ...targets.map(each => each.datasource)])
          t.equal(uid, '${datasource}', title)
        for (const { expr } of targets)
          for (const [, name = ''] of expr.matchAll(/\$([a-z_]\w*)/g))
            t.ok(name === '__rate_interval' || names.has(name), `${title}: $${name}`)
      }
      const uids = new Set(dashboards.map(({ uid }) => `/d/${uid}`))
      for (const { url } of links) t.ok(uids.has(url), url)
    })
  })
}
