/** What of the files for Prometheus can be held without it; the rest is in test/real/suites/promtool.ts and prometheus.ts. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { metricTable } from '../src/export/metric-table.ts'

const text = (file: string) => readFileSync(`k8s/prometheus/${file}`, 'utf8')

interface Relabelling {
  action?: string
  regex?: string
  replacement?: string
  sourceLabels?: string[]
  source_labels?: string[]
  targetLabel?: string
  target_label?: string
}

t.test(
  'the PodMonitor and the plain jobs name workloads alike, as the rules need them',
  async t => {
    const workload = (rules: readonly Relabelling[]) => {
      const rule = rules.find(each => (each.targetLabel ?? each.target_label) === 'workload')
      const from = rule?.sourceLabels ?? rule?.source_labels
      return { from, regex: rule?.regex, to: rule?.replacement }
    }
    const monitor = parse(text('pod-monitor.yaml')).spec.podMetricsEndpoints as {
      relabelings: Relabelling[]
    }[]
    const jobs = parse(text('scrape.yaml')).scrape_configs as { relabel_configs: Relabelling[] }[]
    const all = [
      ...monitor.map(({ relabelings }) => workload(relabelings)),
      ...jobs.map(({ relabel_configs }) => workload(relabel_configs)),
    ]
    t.equal(all.length, 4)
    for (const each of all) t.same(each, all[0])
    const { from, regex = '', to = '' } = all[0] ?? {}
    t.same(from, [
      '__meta_kubernetes_pod_controller_kind',
      '__meta_kubernetes_pod_controller_name',
      '__meta_kubernetes_pod_name',
    ])
    const named = (...values: string[]) =>
      values.join(';').replace(new RegExp(`^(?:${regex})$`), to)
    t.equal(named('ReplicaSet', 'my-bert-5d9c7b', 'my-bert-5d9c7b-x2x2x'), 'my-bert')
    t.equal(named('StatefulSet', 'my-bert', 'my-bert-0'), 'my-bert')
    t.equal(named('', '', 'alone'), 'alone')
  },
)

t.test('every alert has a runbook, and every runbook an alert', async t => {
  const headings = [...readFileSync('docs/runbooks.md', 'utf8').matchAll(/^## (\w+)$/gm)]
  const groups = parse(text('alerts.yaml')).groups as {
    rules: { alert: string; annotations: { runbook_url: string } }[]
  }[]
  const alerts = groups.flatMap(({ rules }) => rules)
  const named = headings.map(([, name]) => name)
  t.same(new Set(named), new Set(alerts.map(({ alert }) => alert)))
  t.equal(named.length, alerts.length)
  for (const { alert, annotations } of alerts)
    t.equal(annotations.runbook_url, `docs/runbooks.md#${alert.toLowerCase()}`)
})

t.test('rules and alerts ask only for metrics that there are', async t => {
  const known = new Set(metricTable.map(({ name }) => name))
  const asked = [...`${text('rules.yaml')}${text('alerts.yaml')}`.matchAll(/(?<!:)\bstoker_\w+/g)]
  t.ok(asked.length > 5)
  const strange = asked.map(([name]) => name).filter(name => !known.has(name))
  t.same([...new Set(strange)], [])
})
