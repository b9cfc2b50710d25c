/** On a real API server with the definitions of KEDA, prometheus-operator and Karpenter: it takes every example, every field known. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { startApiServer } from '../cluster/apiserver.ts'
import type { Body, Manifest } from '../cluster/client.ts'
import {
  defineResources,
  karpenter,
  keda,
  prometheusOperator,
  triggerParameters,
} from '../cluster/definitions.ts'
import { readManifests } from '../cluster/manifests.ts'
import { render } from '../helm.ts'
import { files as charted } from '../prometheus/prometheus.ts'
import { examples, type ScaledObject } from '../prometheus/queries.ts'

t.setTimeout(120_000)

const NS = 'models'
const APPLY = 'application/apply-patch+yaml'
const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
await server.addNamespace(NS)
await defineResources(admin, keda, prometheusOperator, karpenter)

interface Deployment extends Manifest {
  spec: { template: { metadata: Body; spec: unknown } }
}

const inNamespace = (manifest: Manifest): Manifest => ({
  ...manifest,
  metadata: { ...manifest.metadata, namespace: NS },
})

async function take(manifest: Manifest) {
  const path = await admin.pathOf(manifest)
  const query = 'fieldManager=user&force=true&fieldValidation=Strict'
  return admin.call('PATCH', `${path}?${query}`, manifest, APPLY)
}

const files = ['torchserve.yaml']
for (const folder of ['pods', 'nodes'])
  files.push(...readdirSync(join(examples, folder)).map(file => join(folder, file)))
t.ok(files.length >= 8)

for (const file of files) {
  t.test(file, async t => {
    for (const manifest of readManifests(join(examples, file)).map(inNamespace)) {
      const { status, body } = await take(manifest)
      t.ok(status < 300, `${manifest.kind}/${manifest.metadata.name} ${body.message ?? ''}`)
    }
  })
}

t.test(
  'every ScaledObject names a Deployment of the examples, and only what its scaler reads',
  async t => {
    const all = files.flatMap(file => readManifests(join(examples, file)))
    const deployments = all
      .filter(({ kind }) => kind === 'Deployment')
      .map(each => each.metadata.name)
    const scaled = all.filter(({ kind }) => kind === 'ScaledObject') as ScaledObject[]
    t.ok(scaled.length >= 4)
    const read = await triggerParameters()
    for (const { spec } of scaled) {
      t.ok(deployments.includes(spec.scaleTargetRef.name))
      for (const { type, metadata } of spec.triggers)
        t.same(
          Object.keys(metadata).filter(name => !read.get(type)?.has(name)),
          [],
          type,
        )
    }
  },
)

t.test('a misspelt field is told', async t => {
  const [object] = readManifests(join(examples, 'pods/prometheus.yaml')).map(inNamespace)
  const misspelt = { ...object, spec: { ...(object?.spec as Body), maxReplicas: 3 } } as Manifest
  t.match(await take(misspelt), { body: { message: /maxReplicas/ } })
})

t.test('placeholders are pods that a real pod is put before', async t => {
  const wanted = readManifests(join(examples, 'nodes/placeholders.yaml')).map(inNamespace)
  const [deployment] = wanted.filter(({ kind }) => kind === 'Deployment') as Deployment[]
  const template = deployment?.spec.template
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template?.metadata, name: 'placeholder' },
    spec: template?.spec,
  }
  const path = `/api/v1/namespaces/${NS}/pods`
  const made = await admin.ok('POST', `${path}?fieldValidation=Strict`, pod)
  t.match(made, { spec: { priority: -10, preemptionPolicy: 'Never' } })
})

t.test('the chart’s PodMonitor, rules and alerts', async t => {
  const on = ['podMonitor', 'prometheusRule'].flatMap(part => [
    `--set=${part}.enabled=true`,
    `--set=${part}.labels.release=prom`,
  ])
  const rendered = await render(NS, ...on)
  const wanted = rendered.filter(({ apiVersion }) => apiVersion === 'monitoring.coreos.com/v1')
  t.same(wanted.map(({ kind }) => kind).toSorted(), ['PodMonitor', 'PrometheusRule'])
  for (const manifest of wanted) {
    const { status, body } = await take(inNamespace(manifest))
    t.ok(status < 300, `${manifest.kind} ${body.message ?? ''}`)
    t.match(body, { metadata: { labels: { release: 'prom' } } })
  }
  const read = (name: string) => parse(readFileSync(join(charted, name), 'utf8'))
  const [monitor, rule] = wanted.toSorted((a, b) => (a.kind < b.kind ? -1 : 1))
  t.same(monitor?.['spec'], read('pod-monitor.yaml').spec)
  const groups = [...read('rules.yaml').groups, ...read('alerts.yaml').groups]
  t.same(rule?.['spec'], { groups })
  const some = await render(
    NS,
    ...on,
    '--set=namespaces={models,more}',
    '--set=prometheusRule.alerts=false',
  )
  t.match(
    some.find(({ kind }) => kind === 'PodMonitor'),
    {
      spec: { namespaceSelector: { matchNames: ['models', 'more'] } },
    },
  )
  t.match(
    some.find(({ kind }) => kind === 'PrometheusRule'),
    {
      spec: { groups: read('rules.yaml').groups },
    },
  )
  const none = await render(NS)
  t.notOk(none.some(({ apiVersion }) => apiVersion.startsWith('monitoring.coreos.com')))
})

t.test('the chart’s ConfigMap for a Prometheus without the operator', async t => {
  const where = 'https://git.example/stoker/blob/main/'
  const rendered = await render(NS, '--set=prometheusFiles.enabled=true', `--set=runbooks=${where}`)
  const map = rendered.find(({ metadata }) => metadata.name === 'stoker-prometheus')
  const { status, body } = await take(inNamespace(map as Manifest))
  t.ok(status < 300, body.message ?? '')
  const data = map?.['data'] as Record<string, string>
  for (const name of ['scrape.yaml', 'rules.yaml'])
    t.same(parse(data[name] ?? ''), parse(readFileSync(join(charted, name), 'utf8')), name)
  t.match(data['alerts.yaml'], `runbook_url: ${where}docs/runbooks.md#stokeragentdown`)
})
