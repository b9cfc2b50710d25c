/** On a real API server: the chart's output, the webhook called for real, the policy that injects without it, and renewal. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { wallClock } from '../../../src/clock.ts'
import { connect } from '../../../src/inject/cluster.ts'
import { inject, type Injection } from '../../../src/inject/inject.ts'
import type { Pod } from '../../../src/inject/pod.ts'
import { runWebhook } from '../../../src/inject/webhook.ts'
import { largePod, options, shapes } from '../../inject/golden.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import { STRATEGIC, type Body, type Manifest } from '../cluster/client.ts'
import { render, valuesFile } from '../helm.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { kubeConfig, startWebhook, type Webhook } from '../webhook.ts'

t.setTimeout(300_000)

const NS = 'stoker-system'
const CONFIGURATION = `stoker-${NS}`
const SEEN_MS = 10_000

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
for (const name of [NS, 'ml', 'wholly', 'confined']) await server.addNamespace(name)
const label = (namespace: string, labels: Record<string, string>) =>
  admin.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } })
await label('wholly', { 'stoker.dev/inject': 'true' })
await label('confined', { 'pod-security.kubernetes.io/enforce': 'restricted' })

interface WebhookConfiguration extends Manifest {
  webhooks: { name: string; clientConfig: object; failurePolicy: string; caBundle?: string }[]
}

interface SeenPod extends Body {
  spec: { containers: Container[]; initContainers?: Container[]; volumes?: unknown[] }
}

interface Container {
  name: string
  image?: string
  args?: string[]
}

/** The chart's configuration calls a Service; here the webhook listens on loopback. */
function callingLoopback(
  configuration: Manifest,
  port: number,
  failurePolicy: string,
): WebhookConfiguration {
  const { webhooks, ...rest } = configuration as WebhookConfiguration
  const clientConfig = { url: `https://127.0.0.1:${port}/inject` }
  return {
    ...rest,
    webhooks: webhooks.map(webhook => ({ ...webhook, clientConfig, failurePolicy })),
  }
}

const manifest = (all: readonly Manifest[], kind: string): Manifest => {
  const found = all.find(one => one.kind === kind)
  if (!found) throw new Error(`The chart has no ${kind}`)
  return found
}

/** A golden pod as a manifest; its label asks for the agent unless it says something of its own. */
function labelled({ metadata, spec }: Pod, name: string, namespace: string): Manifest {
  const labels = { 'stoker.dev/inject': 'true', ...metadata?.labels }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, labels, name, namespace, annotations: { ...metadata?.annotations } },
    spec,
  }
}

const create = (pod: Manifest, query = '') =>
  admin.call('POST', `/api/v1/namespaces/${pod.metadata.namespace}/pods${query}`, pod)
const dryRun = (pod: Manifest) => create(pod, '?dryRun=All')

const agentIn = (body: Body): Container | undefined => {
  const { spec } = body as SeenPod
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].find(
    one => one.name === 'stoker-agent',
  )
}
const isInjected = (body: Body) => agentIn(body) !== undefined

const plain = (name: string, namespace = 'ml', more: object = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { 'stoker.dev/inject': 'true' }, ...more },
  spec: { containers: [{ name: 'torchserve', image: 'pytorch/torchserve:0.12.0-cpu' }] },
})

/** Waits until labelled pods get, or no longer get, the agent. */
async function settled(isWanted: boolean): Promise<void> {
  const holds = async () => isInjected((await dryRun(plain('probe'))).body) === isWanted
  if (!(await until(holds, SEEN_MS)))
    throw new Error(`Pods ${isWanted ? 'do not' : 'still'} get the agent`)
}

const sameOptions = [
  '--set=image.repository=registry.example/stoker',
  '--set=agent.settings.agent-cpu=100m',
]
const rendered = await render(NS, ...sameOptions)
const [port = 0] = await freePorts(1)
const configuration = manifest(rendered, 'MutatingWebhookConfiguration')

t.test('the chart’s output passes the API server, with each of its values files', async t => {
  const cases: Record<string, string[]> = {
    default: [],
    ha: ['-f', valuesFile('values-ha.yaml')],
    policy: ['-f', valuesFile('values-policy.yaml')],
    'two namespaces': ['--set', 'namespaces={ml,wholly}'],
    'a given Secret': [
      '--set=webhook.certificate.source=secret,webhook.certificate.secretName=tls',
      `--set-file=webhook.certificate.caBundle=${server.caFile}`,
    ],
  }
  for (const [name, flags] of Object.entries(cases)) {
    for (const each of await render(NS, ...flags)) {
      const path = await admin.pathOf(each)
      const query = 'dryRun=All&fieldManager=helm&fieldValidation=Strict'
      const { status, body } = await admin.call(
        'PATCH',
        `${path}?${query}`,
        each,
        'application/apply-patch+yaml',
      )
      t.ok(status < 300, `${name}: ${each.kind}/${each.metadata.name} ${body.message ?? ''}`)
    }
  }
  await t.rejects(
    render(NS, '--set', 'webhook.replica=3'),
    /Additional property replica is not allowed/,
  )
  await t.rejects(render(NS, '--set', 'webhook.certificate.source=secret'), /secretName must name/)
  await t.rejects(
    render(NS, '--set', 'mode=policy,agent.settings.max-workers=3'),
    /max-workers has no meaning in the mode policy/,
  )
})

let token = ''
let webhook: Webhook | undefined
t.teardown(() => webhook?.stop())

t.test(
  'a webhook with the chart’s rights and arguments has itself trusted and is called',
  async () => {
    const wanted = [
      'Secret',
      'ServiceAccount',
      'Role',
      'RoleBinding',
      'ClusterRole',
      'ClusterRoleBinding',
      'ValidatingAdmissionPolicy',
      'ValidatingAdmissionPolicyBinding',
    ]
    await admin.apply(...rendered.filter(({ kind }) => wanted.includes(kind)))
    await admin.apply(callingLoopback(configuration, port, 'Ignore'))
    const deployment = manifest(rendered, 'Deployment') as unknown as {
      spec: { template: SeenPod }
    }
    const args = deployment.spec.template.spec.containers[0]?.args ?? []
    token = await server.token({ namespace: NS, serviceAccount: 'stoker' })
    webhook = await startWebhook(server, token, args, port)
    await settled(true)
  },
)

/** What the webhook made of each golden pod, as the server would store it. */
const byWebhook = new Map<string, Body>()

t.test('every golden pod is created, with the agent where it should have it', async t => {
  for (const { name, pod } of [...shapes(), { name: 'large', pod: largePod() }]) {
    const { status, body } = await dryRun(labelled(pod, name, 'ml'))
    const expected: Injection = inject(pod, options)
    const has = expected.outcome === 'injected' || expected.reasons[0].code === 'already_injected'
    t.equal(status, 201, `${name}: ${body.message ?? ''}`)
    t.equal(isInjected(body), has, `${name}: ${expected.reasons[0].code}`)
    if (status === 201) byWebhook.set(name, body)
  }
  t.match(
    await webhook?.get('/metrics'),
    /stoker_admissions_total\{outcome="injected",reason="injected"\} \d\d/,
  )
  t.notMatch(await webhook?.get('/metrics'), /outcome="failed"/)
})

t.test('a label on the namespace asks for all its pods, but for those that opt out', async t => {
  const pod = (labels: Record<string, string>) => ({
    ...plain('p', 'wholly'),
    metadata: { name: 'p', namespace: 'wholly', labels },
  })
  t.ok(isInjected((await dryRun(pod({}))).body))
  t.notOk(isInjected((await dryRun(pod({ 'stoker.dev/inject': 'false' }))).body))
  t.notOk(
    isInjected((await dryRun({ ...plain('p'), metadata: { name: 'p', namespace: 'ml' } })).body),
  )
})

t.test(
  'in a namespace that enforces Pod Security’s restricted, restricted pods still pass',
  async t => {
    for (const { name, pod } of shapes().filter(shape => shape.name.startsWith('restricted'))) {
      const { status, body } = await dryRun(labelled(pod, name, 'confined'))
      t.equal(status, 201, `${name}: ${body.message ?? ''}`)
      t.ok(isInjected(body))
    }
  },
)

t.test('an Event on the owner; none for a dry run', async t => {
  const owner = (uid: string) => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: `r-${uid}`,
    uid,
    controller: true,
  })
  const events = async () =>
    ((await admin.ok('GET', '/api/v1/namespaces/ml/events')) as { items?: object[] }).items ?? []
  await dryRun(plain('dry', 'ml', { ownerReferences: [owner('1')] }))
  await create(plain('owned', 'ml', { ownerReferences: [owner('2')] }))
  const refused = { 'stoker.dev/max-workers': '0' }
  await create(plain('refused', 'ml', { ownerReferences: [owner('3')], annotations: refused }))
  t.ok(await until(async () => (await events()).length >= 2, 5_000))
  t.match(
    (await events()).toSorted((one, other) =>
      JSON.stringify(one) < JSON.stringify(other) ? -1 : 1,
    ),
    { length: 2 },
  )
  const told = JSON.stringify(await events())
  t.match(told, /"reason":"StokerInjected"/)
  t.match(told, /stoker.dev\/max-workers=0 must be a whole number from 1 to 1000/)
  t.notMatch(told, /r-1/)
})

t.test(
  'the agent’s token, with the chart’s rights and policy, resizes its own pod and nothing else',
  async t => {
    const { body: own } = await create(
      plain('own', 'ml', { annotations: { 'stoker.dev/max-memory': '8Gi' } }),
    )
    const { body: other } = await create(plain('other'))
    const agent = server.as(
      await server.token({ namespace: 'ml', serviceAccount: 'default', pod: own.metadata ?? {} }),
    )
    const path = (pod: Body) => `/api/v1/namespaces/ml/pods/${pod.metadata?.name}`
    const resize = (pod: Body) => agent.call('PATCH', `${path(pod)}/resize`, {}, STRATEGIC)
    t.ok(await until(async () => (await resize(other)).status === 403, 5_000), 'no other pod')
    const { status, body } = await resize(own)
    t.equal(status, 200, body.message ?? 'its own pod')
    t.equal((await agent.call('GET', path(own))).status, 403)
    t.equal((await agent.call('GET', '/api/v1/namespaces/ml/secrets')).status, 403)
  },
)

t.test('without a webhook that answers, pods are created without the agent', async t => {
  t.equal(await webhook?.stop(), 0, 'it ends when told to')
  webhook = undefined
  const { status, body } = await dryRun(plain('alone'))
  t.equal(status, 201)
  t.notOk(isInjected(body))
})

/** What a policy cannot know of: other annotations of Stoker's, and an emptied one. */
function isCovered({ metadata }: Pod): boolean {
  const own = Object.entries(metadata?.annotations ?? {}).filter(([name]) =>
    name.startsWith('stoker.dev/'),
  )
  const known = ['container', 'max-memory', 'agent-only-token', 'injected']
  return own.every(
    ([name, value]) => known.includes(name.slice('stoker.dev/'.length)) && value !== '',
  )
}

t.test('the policy adds what the webhook adds, where it adds anything', async t => {
  await admin.ok('DELETE', await admin.pathOf(configuration))
  await settled(false)
  const policy = await render(NS, '-f', valuesFile('values-policy.yaml'), ...sameOptions)
  await admin.apply(
    ...policy.filter(({ kind }) =>
      /^(MutatingAdmissionPolicy|MutatingAdmissionPolicyBinding|ConfigMap)$/.test(kind),
    ),
  )
  await settled(true)
  for (const { name, pod } of shapes()) {
    const { status, body } = await dryRun(labelled(pod, name, 'ml'))
    t.equal(status, 201, `${name}: ${body.message ?? ''}`)
    if (!isCovered(pod)) {
      t.equal(
        isInjected(body),
        inject(pod, options).reasons[0].code === 'already_injected',
        `${name}: left alone`,
      )
      continue
    }
    const webhooks = byWebhook.get(name)
    t.same(comparable(body), webhooks && comparable(webhooks), name)
  }
  const again = await dryRun(plain('twice', 'ml', {}))
  const { metadata: _, status: __, ...rest } = again.body
  const twice = await dryRun({
    ...rest,
    ...plain('twice'),
    spec: (again.body as SeenPod).spec,
  } as Manifest)
  t.same(
    (twice.body as SeenPod).spec,
    (again.body as SeenPod).spec,
    'an injected pod is left as it is',
  )
  for (const each of policy.filter(({ kind }) => kind.startsWith('MutatingAdmission')))
    await admin.ok('DELETE', await admin.pathOf(each))
  await settled(false)
})

/** The spec and the annotations that matter; names of token volumes are random. */
function comparable(body: Body): unknown {
  const annotations = Object.entries(body.metadata?.annotations ?? {}).filter(
    ([name]) => name !== 'stoker.dev/injected',
  )
  const text = JSON.stringify([(body as SeenPod).spec, annotations.toSorted()])
  return JSON.parse(text.replaceAll(/kube-api-access-\w+/g, 'kube-api-access'))
}

t.test(
  '1 000 pods are created while authorities and leaves are renewed, and each has the agent',
  async t => {
    await renewing(t)
  },
)

async function renewing(t: Test): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-renewal-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const config = join(folder, 'kubeconfig')
  writeFileSync(config, kubeConfig(server, token))
  process.env['KUBECONFIG'] = config
  const [reviews = 0, health = 0] = await freePorts(2)
  // The authority that is there lives for a year.
  const secret = manifest(rendered, 'Secret')
  await admin.ok('DELETE', await admin.pathOf(secret))
  await admin.apply(secret)
  // With Fail, a call that fails is a pod that is not created.
  await admin.apply(callingLoopback(configuration, reviews, 'Fail'))
  const stop = new AbortController()
  const shown: string[] = []
  const running = runWebhook(
    {
      options,
      strict: false,
      host: '127.0.0.1',
      port: reviews,
      healthPort: health,
      certificates: {
        kind: 'own',
        passMs: 250,
        names: { namespace: NS, secret: 'stoker-ca', configuration: CONFIGURATION },
        hosts: ['127.0.0.1'],
        lives: { authorityMs: 15_000, leafMs: 4_000, settleMs: 3_000 },
      },
      cluster: connect(),
      clock: wallClock,
      log: {
        info: (_fields, text) => void (text.includes('certificate') && shown.push(text)),
        warn: (fields, text) => t.fail(`${text} ${stringify(fields)}`),
      },
    },
    stop.signal,
  )
  await settled(true)
  const bundles = new Set<string>()
  const started = performance.now()
  let [created, missed] = [0, 0]
  const lane = async (name: string) => {
    for (let n = 0; created < 1_000 || performance.now() - started < 40_000; n += 1) {
      created += 1
      const { status, body } = await dryRun(plain(`${name}-${n}`))
      if (status !== 201 || !isInjected(body)) missed += 1
      if (n % 10 === 0) {
        const seen = (await admin.ok('GET', await admin.pathOf(configuration))) as unknown as {
          webhooks: { clientConfig: { caBundle: string } }[]
        }
        bundles.add(seen.webhooks[0]?.clientConfig.caBundle ?? '')
      }
    }
  }
  await Promise.all(['a', 'b', 'c', 'd'].map(lane))
  t.ok(created >= 1_000, `${created} pods`)
  t.equal(missed, 0, 'none without the agent')
  t.ok(shown.length >= 8, `${shown.length} leaves`)
  t.ok(bundles.size >= 4, `${bundles.size} bundles`)
  stop.abort()
  await running
}
