/** What holds for any pod, and what a pod’s author is told. */
import fc from 'fast-check'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { parseConfig } from '../../src/config.ts'
import { properties, type Property } from '../../src/config/schema.ts'
import { injectionMarkdown } from '../../src/inject/markdown.ts'
import { inject, uninject, type Injection, type Options } from '../../src/inject/inject.ts'
import { readPod, type Pod } from '../../src/inject/pod.ts'
import { anyPod, tokenFolder } from './any-pod.ts'
import { asPod, options, shapes } from './golden.ts'
import { invalidities, loosely, qosClass, restrictedViolations } from './kubernetes-rules.ts'

function patched(pod: Pod, { operations }: Injection): Pod {
  const copy = structuredClone(pod)
  const faults = applyPatch(copy, structuredClone([...operations])).filter(fault => fault !== null)
  if (faults.length > 0) throw faults[0]
  return asPod(copy)
}

const anyOptions = fc.constantFrom<Options>(
  options,
  { image: 'stoker', defaults: {} },
  {
    image: 'stoker',
    defaults: { 'share-processes': 'true', 'share-key-file': 'true', 'max-memory': '4Gi' },
  },
)

t.test('any pod: injected once, valid, of the same QoS class, and restored as it was', async t => {
  let [injections, confined] = [0, 0]
  const property = fc.property(anyPod, anyOptions, (value, how) => {
    const pod = asPod(value)
    fc.pre(invalidities(loosely(pod)).length === 0)
    const result = inject(pod, how)
    if (result.outcome !== 'injected') return result.operations.length === 0
    injections += 1
    const injected = patched(pod, result)
    const wrong = invalidities(loosely(injected))
    if (wrong.length > 0) throw new Error(wrong.join(', '))
    if (qosClass(loosely(injected)) !== qosClass(loosely(pod)))
      throw new Error(`${qosClass(loosely(pod))} became ${qosClass(loosely(injected))}`)
    if (restrictedViolations(loosely(pod)).length === 0) {
      confined += 1
      if (restrictedViolations(loosely(injected)).length > 0)
        throw new Error('no longer restricted')
    }
    if (inject(injected, how).operations.length > 0) throw new Error('injected twice')
    return JSON.stringify(patched(injected, uninject(injected))) === JSON.stringify(pod)
  })
  fc.assert(property, { numRuns: 3000 })
  t.ok(injections > 300, `${injections} of them were injected`)
  t.ok(confined > 100, `${confined} of them were restricted`)
})

t.test('what others have added since stays when the agent is taken out', async t => {
  const pod = asPod({ spec: { containers: [{ name: 'a', image: 'pytorch/torchserve' }] } })
  const injected = loosely(patched(pod, inject(pod, options)))
  Object.assign(injected.metadata?.annotations ?? {}, { 'example.com/later': 'x' })
  injected.spec.volumes?.unshift({ name: 'later', emptyDir: {} })
  injected.spec.initContainers?.unshift({ name: 'later', image: 'busybox' })
  const changed = asPod(injected)
  t.same(patched(changed, uninject(changed)), {
    metadata: { annotations: { 'example.com/later': 'x' } },
    spec: {
      containers: [{ name: 'a', image: 'pytorch/torchserve' }],
      volumes: [{ name: 'later', emptyDir: {} }],
      initContainers: [{ name: 'later', image: 'busybox' }],
    },
  })
})

t.test(
  'a list that was emptied, and that the API server left out then, is filled again',
  async t => {
    const volumeMounts = [{ name: 'kube-api-access-x', mountPath: tokenFolder }]
    const pod = asPod({
      metadata: { annotations: { 'stoker.dev/agent-only-token': 'true' } },
      spec: { containers: [{ name: 'a', image: 'pytorch/torchserve', volumeMounts }] },
    })
    const injected = loosely(patched(pod, inject(pod, { ...options, defaults: {} })))
    for (const one of injected.spec.containers)
      if (one.volumeMounts?.length === 0) delete one.volumeMounts
    t.notOk(injected.spec.containers[0]?.volumeMounts)
    const stored = asPod(injected)
    t.same(patched(stored, uninject(stored)), pod)
  },
)

t.test('what cannot be taken out is said', async t => {
  const own = [{ name: 'a' }]
  const agent = { name: 'stoker-agent' }
  const cases: [pod: unknown, code: string, outcome: string][] = [
    [{ spec: { containers: own } }, 'not_injected', 'skipped'],
    [{ spec: { containers: [...own, agent] } }, 'no_record', 'refused'],
  ]
  const records = [
    'policy',
    '{"undo":[{"at":["__proto__","x"],"was":1}]}',
    '{"undo":[{"at":[]}]}',
    '[]',
  ]
  for (const record of records)
    cases.push([
      { metadata: { annotations: { 'stoker.dev/injected': record } }, spec: { containers: own } },
      'no_record',
      'refused',
    ])
  for (const [pod, code, outcome] of cases) {
    const result = uninject(asPod(pod))
    t.match(result, { outcome, operations: [], reasons: [{ code }] }, code)
  }
})

t.test('what is not a pod is refused with each field, its value and what it must be', async t => {
  t.same(
    readPod({
      metadata: { annotations: { 'a/b': true } },
      spec: { containers: [{ name: 3 }, {}], volumes: 'x' },
    }),
    {
      problems: [
        'metadata.annotations["a/b"]=true must be a text (in quotes)',
        'spec.containers[0].name=3 must be a text (in quotes)',
        'spec.containers[1].name is missing',
        'spec.volumes="x" must be a list',
      ],
    },
  )
  t.same(readPod({}), { problems: ['spec is missing'] })
  t.same(readPod(null), { problems: ['the pod=null must be a mapping'] })
})

t.test('what the agent is given, it accepts', async t => {
  const given = {
    'stoker.dev/min-workers': '2',
    'stoker.dev/models': '{"a$(b)$$": {"maxWorkers": 4}}',
    'stoker.dev/share-key-file': 'true',
  }
  const pod = asPod({
    metadata: { annotations: given },
    spec: { containers: [{ name: 'a', image: 'pytorch/torchserve-kfs' }] },
  })
  const config = configOf(pod)
  t.match(config, {
    defaults: { minWorkers: 2 },
    models: { 'a$(b)$$': { maxWorkers: 4 } },
    keyFile: '/var/run/torchserve/key_file.json',
  })
  t.equal(config.managementUrl.port, '8085')
  for (const { name, pod: shape } of shapes())
    if (inject(shape, options).outcome === 'injected') t.ok(configOf(shape), name)
})

t.test('each setting alone, as an annotation, is one the agent accepts', async t => {
  const samples: Record<string, string> = {
    url: 'http://127.0.0.1:9999',
    host: '127.0.0.1',
    quantity: '1Gi',
    name: 'x',
  }
  const names: string[] = injectionMarkdown().match(/(?<=^### stoker\.dev\/)[\w-]+/gm) ?? []
  const settings = Object.entries<Property>(properties).map(([key, property]) => ({
    name: key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`),
    property,
  }))
  const annotated = settings.filter(({ name }) => names.includes(name) && name !== 'container')
  t.ok(annotated.length > 15)
  for (const { name, property } of annotated) {
    const value = property.default ?? property.minimum ?? samples[property.format ?? '']
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const given = { 'stoker.dev/max-memory': '', [`stoker.dev/${name}`]: text }
    const pod = asPod({
      metadata: { annotations: given },
      spec: { containers: [{ name: 'a', image: 'torchserve' }] },
    })
    t.match(inject(pod, options), { outcome: 'injected' }, name)
    t.ok(configOf(pod), `${name}=${text}`)
  }
})

/** What the agent reads from its variables in the injected pod. Throws ConfigError. */
function configOf(pod: Pod) {
  const { initContainers, containers: own } = loosely(patched(pod, inject(pod, options))).spec
  const agent = [...(initContainers ?? []), ...own].find(one => one.name === 'stoker-agent')
  // As the kubelet expands it.
  const env = (agent?.env ?? []).map(({ name, value = 'from-the-pod' }) => [
    name,
    value.replaceAll('$$', '$'),
  ])
  return parseConfig({ ...Object.fromEntries(env), KUBERNETES_SERVICE_HOST: '10.0.0.1' })
}
