/** The TorchServe of k8s/examples, as it is after injection, is what the manifests beside it count on. */
import { readFileSync } from 'node:fs'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { inject } from '../../src/inject/inject.ts'
import { asPod, options } from './golden.ts'
import { loosely } from './kubernetes-rules.ts'

interface Manifest {
  kind: string
  spec: { template: { metadata: object; spec: object } }
}

const read = (path: string) =>
  parseAllDocuments(readFileSync(path, 'utf8')).map(each => each.toJS() as Manifest)
const [deployment] = read('k8s/examples/torchserve.yaml')
const pod = asPod(structuredClone(deployment?.spec.template))
const injection = inject(pod, { ...options, defaults: {} })
applyPatch(pod, structuredClone([...injection.operations]))
const { spec } = loosely(pod)

t.test('it loses no request at scale-in: its queue is served first', async t => {
  t.same(
    injection.reasons.map(({ code }) => code),
    ['injected'],
    'nothing speaks against it',
  )
  t.match(spec, { shareProcessNamespace: true, terminationGracePeriodSeconds: 60 })
  t.match(spec.containers[0], {
    lifecycle: { preStop: { exec: { command: ['python3', '-c', /"\/drain".*stoker-drain/] } } },
  })
})

t.test('its ports have the names by which Prometheus finds them', async t => {
  const all = [...spec.containers, ...(spec.initContainers ?? [])] as {
    ports?: { name: string; containerPort: number }[]
  }[]
  const ports = all.flatMap(each => each.ports ?? [])
  const monitor = parse(readFileSync('k8s/prometheus/pod-monitor.yaml', 'utf8')) as {
    spec: { podMetricsEndpoints: { port: string }[] }
  }
  for (const { port } of monitor.spec.podMetricsEndpoints)
    t.equal(ports.filter(({ name }) => name === port).length, 1, port)
  t.equal(ports.find(({ name }) => name === 'stoker-metrics')?.containerPort, 9790)
})
