import { applyPatch } from 'rfc6902'
import t from 'tap'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { inject, uninject } from '../../src/inject/inject.ts'
import { changeManifests, type Changed } from '../../src/inject/manifests.ts'
import type { Pod } from '../../src/inject/pod.ts'
import { options, shapes } from './golden.ts'

const add = (pod: Pod) => inject(pod, options)
const injected = (text: string) => changeManifests(text, add)
const restored = (text: string) => changeManifests(text, uninject)

const deployment = `# what this is
apiVersion: apps/v1
kind: Deployment
metadata:
  name: resnet # its name
spec:
  template:
    metadata:
      annotations: {}
    spec:
      containers:
      # the one that counts
      - name: "torchserve"
        image: 'pytorch/torchserve:0.12.0-cpu'
        args: [torchserve, --start]
        env:
        - name: LONG
          value: "${'a long line '.repeat(20)}"
      volumes:
      - name: models
        configMap:
          name: models
          defaultMode: 0444

# the end
`

const service = `--- # odd spacing that stays
apiVersion: v1
kind:   Service
metadata: {name:   resnet}   # as it was
`

const agentsIn = (text: string) => text.match(/name: stoker-agent$/gm)?.length ?? 0

t.test('documents without a pod stay as they are, to the byte', async t => {
  const text = `# head\n${service}${deployment.replace(/^/, '---\n')}${service}`
  const { text: output, lines, faults } = injected(text)
  t.same(faults, [])
  t.same(lines, ['document 2, Deployment/resnet: injected: The agent was added beside torchserve'])
  t.ok(output.startsWith(`# head\n${service}---\n# what this is\n`))
  t.ok(output.endsWith(`# the end\n${service}`))
  t.equal(agentsIn(output), 1)
})

t.test(
  'a document that is changed keeps its comments, quotes and layout, and comes back as it was',
  async t => {
    const { text } = injected(deployment)
    const added = text.split('\n').filter(line => !deployment.split('\n').includes(line))
    const lost = deployment.split('\n').filter(line => !text.split('\n').includes(line))
    t.same(lost, ['      annotations: {}'])
    t.ok(added.length > 20)
    t.match(text, /^ {6}- name: stoker-token$/m)
    t.equal(restored(text).text, deployment)
  },
)

t.test('the pods of every kind are found where they are', async t => {
  const pod = {
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'a', image: 'torchserve' }] },
  }
  const kinds: [apiVersion: string, kind: string, body: object][] = [
    ['v1', 'Pod', pod],
    ['v1', 'PodTemplate', { template: pod }],
    ['v1', 'ReplicationController', { spec: { template: pod } }],
    ['apps/v1', 'Deployment', { spec: { template: pod } }],
    ['apps/v1', 'StatefulSet', { spec: { template: pod } }],
    ['apps/v1', 'DaemonSet', { spec: { template: pod } }],
    ['apps/v1', 'ReplicaSet', { spec: { template: pod } }],
    ['batch/v1', 'Job', { spec: { template: pod } }],
    ['batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template: pod } } } }],
  ]
  const documents = kinds.map(([apiVersion, kind, body]) => ({
    apiVersion,
    kind,
    metadata: { name: 'x' },
    ...body,
  }))
  for (const document of documents) {
    const { text, lines } = injected(stringify(document))
    t.equal(agentsIn(text), 1, document.kind)
    t.match(lines, [/^document 1, \w+\/[px]: injected: /])
    t.same(parse(restored(text).text), document)
  }
  const list = { apiVersion: 'v1', kind: 'List', items: documents }
  t.equal(agentsIn(injected(stringify(list)).text), kinds.length)
  t.same(parse(restored(injected(stringify(list)).text).text), list)
  const podList = {
    apiVersion: 'v1',
    kind: 'PodList',
    items: [{ apiVersion: 'v1', kind: 'Pod', ...pod }],
  }
  t.equal(agentsIn(injected(stringify(podList)).text), 1)

  const others = [
    { apiVersion: 'batch.volcano.sh/v1', kind: 'Job', spec: { template: pod } },
    { apiVersion: 'v1', kind: 'Deployment', spec: { template: pod } },
    { apiVersion: 'constructor', kind: 'name', spec: {} },
    { kind: 'Pod', ...pod },
    ['not', 'an', 'object'],
    null,
  ]
  for (const other of others) {
    const text = stringify(other)
    t.same(injected(text), { text, lines: [], faults: [] } satisfies Changed)
  }
})

t.test('JSON comes back as JSON', async t => {
  const document = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'a', image: 'torchserve' }] },
  }
  for (const indent of [2, 4]) {
    const text = `${JSON.stringify(document, null, indent)}\n`
    const output = injected(text).text
    t.match(JSON.parse(output), { spec: { initContainers: [{ name: 'stoker-agent' }] } })
    t.equal(restored(output).text, text)
  }
})

t.test('what an alias stands for is changed only where it should be', async t => {
  const { text, faults } = injected(`apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - &base
    name: torchserve
    image: torchserve
    env: &env [{name: A, value: "1:30"}, {name: B, value: "0o17"}]
    args: ["010"]
  - <<: *base
    name: other
    image: busybox
    command: [sleep, inf]
    mode: 010
`)
  t.same(faults, [])
  const [first, second] = parse(text, { version: '1.1' }).spec.containers
  t.ok(first.resizePolicy)
  t.notOk(second.resizePolicy)
  t.same(second, {
    name: 'other',
    image: 'busybox',
    env: [
      { name: 'A', value: '1:30' },
      { name: 'B', value: '0o17' },
    ],
    args: ['010'],
    command: ['sleep', 'inf'],
    mode: 8,
  })
  t.match(text, /value: ['"]1:30['"]/)
})

t.test('faults name the document, the workload and the field, or the line', async t => {
  const bad = `${deployment.replace('name: "torchserve"', 'name: 3')}---
# only a comment
---
apiVersion: v1
kind: Pod
metadata: {name: q}
spec: {containers: {}}
---
kind: Pod
a: [1,
b: 2
---
apiVersion: v1
kind: Pod
metadata:
  generateName: r-
  annotations: {stoker.dev/mode: on}
spec: {containers: [{name: a, image: torchserve}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: s
  annotations: {stoker.dev/mode: "watch"}
spec: {containers: [{name: a, image: torchserve}]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: t
  annotations: {stoker.dev/mode: "advise", example.com/a: b}
spec: {template: {spec: {containers: [{name: a, image: torchserve}]}}}
`
  t.same(
    injected(bad).faults.map(fault => fault.replace(/(line \d+): .*/, '$1')),
    [
      'document 1, Deployment/resnet: spec.template.spec.containers[0].name=3 must be a text (in quotes)',
      'document 2, Pod/q: spec.containers={} must be a list',
      `document 3, line ${bad.split('\n').indexOf('b: 2') + 1}`,
      'document 4, Pod/r-: metadata.annotations["stoker.dev/mode"]=true must be a text (in quotes)',
      'document 5, Pod/s: refused: stoker.dev/mode="watch" must be act or advise',
      'document 6, Deployment/t: stoker.dev/mode must be on the pod template, at spec.template.metadata.annotations',
    ],
  )
})

t.test('odd texts', async t => {
  for (const text of ['', '\n', '---\n', '# nothing\n', '{}', '[]', '---\n---\n', '{"kind": ']) {
    const { text: output, faults } = injected(text)
    t.equal(output, text, JSON.stringify(text))
    t.equal(faults.length, text === '{"kind": ' ? 1 : 0)
  }
  const windows = injected(deployment.replaceAll('\n', '\r\n'))
  t.same(windows.faults, [])
  t.equal(agentsIn(windows.text), 1)
})

t.test('a manifest gets what the webhook would patch', async t => {
  for (const { name, pod } of shapes()) {
    const document = { apiVersion: 'v1', kind: 'Pod', ...structuredClone(pod) }
    const text = stringify(document, { lineWidth: 0, singleQuote: true })
    const output = injected(text)
    applyPatch(document, structuredClone([...add(pod).operations]))
    t.same(
      parseAllDocuments(output.text).map(one => one.toJS()),
      [document],
      name,
    )
    if (output.faults.length === 0 && output.text !== text)
      t.equal(restored(output.text).text, text, name)
  }
})
