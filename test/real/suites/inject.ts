/** On a real API server: the chart's output, the webhook called for real, and the policy that injects without it. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { inject, uninject } from '../../../src/inject/inject.ts'
import type { Pod } from '../../../src/inject/pod.ts'
import { asPod, largePod, options, shapes } from '../../inject/golden.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import { STRATEGIC, type Body, type Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { render, renderTest, valuesFile } from '../helm.ts'
import * as injection from '../injection.ts'
import { NS, SYSTEM, isInjected, labelled, plain, type SeenPod } from '../injection.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { startWebhook, type Webhook } from '../webhook.ts'

t.setTimeout(120_000)

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
const { configuration, args, token } = await injection.install(server)
for (const name of ['wholly', 'confined']) await server.addNamespace(name)
const label = (name: string, labels: Record<string, string>) =>
  admin.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
await label('wholly', { 'stoker.dev/inject': 'true' })
await label('confined', { 'pod-security.kubernetes.io/enforce': 'restricted' })

/** What is there for those who use no chart. */
const policies = join(import.meta.dirname, '../../../k8s/policies')
const dryRun = (pod: Manifest) => injection.dryRun(admin, pod)
const create = (pod: Manifest) => injection.create(admin, pod)
const settled = (isWanted: boolean) => injection.settled(admin, isWanted)

t.test(
  'the chart’s output passes the API server, with each of its values files; so do the policies alone',
  async t => {
    const cases: Record<string, string[]> = {
      default: [],
      ha: ['-f', valuesFile('values-ha.yaml')],
      policy: ['-f', valuesFile('values-policy.yaml')],
      'two namespaces': ['--set', `namespaces={${NS},wholly}`],
      'a given Secret': [
        '--set=webhook.certificate.source=secret,webhook.certificate.secretName=tls',
        `--set-file=webhook.certificate.caBundle=${server.caFile}`,
      ],
    }
    const query = 'dryRun=All&fieldManager=helm&force=true&fieldValidation=Strict'
    const pass = async (name: string, manifests: readonly Manifest[]) => {
      for (const each of manifests) {
        const path = `${await admin.pathOf(each)}?${query}`
        const { status, body } = await admin.call(
          'PATCH',
          path,
          each,
          'application/apply-patch+yaml',
        )
        t.ok(status < 300, `${name}: ${each.kind}/${each.metadata.name} ${body.message ?? ''}`)
      }
    }
    for (const [name, flags] of Object.entries(cases))
      await pass(name, await render(SYSTEM, ...flags))
    for (const file of readdirSync(policies)) await pass(file, readManifests(join(policies, file)))
    const refusals: [flag: string, says: RegExp][] = [
      ['webhook.replica=3', /Additional property replica is not allowed/],
      ['webhook.certificate.source=secret', /secretName must name/],
      ['mode=policy,agent.settings.max-workers=3', /max-workers has no meaning in the mode policy/],
    ]
    for (const [flag, says] of refusals) await t.rejects(render(SYSTEM, '--set', flag), says)
  },
)

const [port = 0] = await freePorts(1)
let webhook: Webhook | undefined
t.teardown(() => webhook?.stop())

t.test(
  'a webhook with the chart’s rights and arguments has itself trusted and is called',
  async t => {
    await admin.apply(injection.callingLoopback(configuration, port, 'Ignore'))
    webhook = await startWebhook(server, token, args, port)
    await settled(true)
    t.match(await webhook.get('/readyz'), /ok/)
  },
)

/** What the webhook made of each golden pod, as the server would store it. */
const byWebhook = new Map<string, Body>()

t.test('every golden pod is created, with the agent where it should have it', async t => {
  for (const { name, pod } of [...shapes(), { name: 'large', pod: largePod() }]) {
    const { status, body } = await dryRun(labelled(pod, name))
    t.equal(status, 201, `${name}: ${body.message ?? ''}`)
    t.equal(isInjected(body), injection.ends(pod), name)
    byWebhook.set(name, body)
  }
  const metrics = await webhook?.get('/metrics')
  t.match(metrics, /stoker_admissions_total\{outcome="injected",reason="injected"\} \d\d/)
  t.notMatch(metrics, /outcome="failed"/)
  t.notMatch(metrics, /already_injected|mirror_pod/, 'for those it is not even called')
})

t.test('a label on the namespace asks for all its pods, but for those that opt out', async t => {
  const pod = (namespace: string, labels: Record<string, string>) => ({
    ...plain('p'),
    metadata: { name: 'p', namespace, labels },
  })
  t.ok(isInjected((await dryRun(pod('wholly', {}))).body))
  t.notOk(isInjected((await dryRun(pod('wholly', { 'stoker.dev/inject': 'false' }))).body))
  t.notOk(isInjected((await dryRun(pod(NS, {}))).body))
  t.notOk(isInjected((await dryRun(plain('p', SYSTEM))).body), 'nor Stoker’s own namespace')
})

/** Has the API server call the webhook as the chart says with these flags of helm's. */
async function configure(...more: string[]): Promise<void> {
  const rendered = await render(SYSTEM, ...injection.flags, ...more)
  for (const each of rendered.filter(({ kind }) => kind === configuration.kind))
    await admin.apply(injection.callingLoopback(each, port, 'Ignore'))
}

t.test('only the namespaces that are named are served, if any are', async t => {
  await configure('--set=namespaces={wholly}')
  const isServed = async (namespace: string) =>
    isInjected((await dryRun(plain('p', namespace))).body)
  t.ok(await until(async () => !(await isServed(NS)), 5_000), 'another namespace is not')
  t.ok(await isServed('wholly'))
  await configure()
  t.ok(await until(() => isServed(NS), 5_000), 'without names all are')
})

t.test('where Pod Security’s restricted is enforced, restricted pods still pass', async t => {
  for (const { name, pod } of shapes().filter(shape => shape.name.startsWith('restricted'))) {
    const { status, body } = await dryRun(labelled(pod, name, 'confined'))
    t.equal(status, 201, `${name}: ${body.message ?? ''}`)
    t.ok(isInjected(body))
  }
})

t.test('an Event on the owner; none for a dry run', async t => {
  const owned = (uid: string) => ({
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `set-${uid}`, uid, controller: true },
    ],
  })
  const events = async () => {
    const list = await admin.ok('GET', `/api/v1/namespaces/${NS}/events`)
    return (list as { items?: Record<string, unknown>[] }).items ?? []
  }
  await dryRun(plain('dry', NS, owned('1')))
  await create(plain('owned', NS, owned('2')))
  const annotations = { 'stoker.dev/max-workers': '0' }
  await create(plain('refused', NS, { ...owned('3'), annotations }))
  t.ok(await until(async () => (await events()).length >= 2, 5_000))
  const told = (await events()).map(({ reason, involvedObject, message }) => ({
    reason,
    name: Object(involvedObject).name,
    message,
  }))
  t.match(told, [
    { name: 'set-2', reason: 'StokerInjected' },
    { name: 'set-3', reason: 'StokerRefused', message: /max-workers=0 must be a whole number/ },
  ])
  t.equal(told.length, 2)
})

t.test('the agent’s token, by the chart’s rights and policy, resizes its own pod only', async t => {
  const { body: own } = await create(plain('own'))
  const { body: other } = await create(plain('other'))
  const bound = { namespace: NS, serviceAccount: 'default', pod: own.metadata ?? {} }
  const agent = server.as(await server.token(bound))
  const path = (pod: Body) => `/api/v1/namespaces/${NS}/pods/${pod.metadata?.name}`
  const resize = (pod: Body) => agent.call('PATCH', `${path(pod)}/resize`, {}, STRATEGIC)
  t.ok(await until(async () => (await resize(other)).status === 403, 5_000), 'no other pod')
  const { status, body } = await resize(own)
  t.equal(status, 200, body.message ?? 'its own pod')
  t.equal((await agent.call('GET', path(own))).status, 403)
  t.equal((await agent.call('GET', `/api/v1/namespaces/${NS}/secrets`)).status, 403)
})

/** Runs the script of the chart's test as its pod would, with this machine's Node.js. */
async function helmTest(): Promise<string> {
  const rendered = await renderTest(SYSTEM, '--set', `test.namespace=${NS}`)
  const [pod, ...rights] = rendered.toSorted(
    (one, other) => Number(other.kind === 'Pod') - Number(one.kind === 'Pod'),
  )
  await admin.apply(...rights)
  const [container] = (pod as unknown as SeenPod).spec.containers
  const folder = t.testdir({
    token: await server.token({ namespace: SYSTEM, serviceAccount: 'stoker-test' }),
  })
  copyFileSync(server.caFile, join(folder, 'ca.crt'))
  const script = (container?.args?.[0] ?? '').replaceAll(
    '/var/run/secrets/kubernetes.io/serviceaccount',
    folder,
  )
  const called = new URL(server.url)
  const env = { KUBERNETES_SERVICE_HOST: called.hostname, KUBERNETES_SERVICE_PORT: called.port }
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', script],
    { env, encoding: 'utf8', timeout: 20_000 },
  )
  return `${status} ${stdout}${stderr}`
}

t.test('helm test finds the agent in a labelled pod', async t => {
  t.equal(await helmTest(), '0 A labelled pod gets the agent.\n')
})

t.test('without a webhook that answers, pods are created without the agent', async t => {
  t.equal(await webhook?.stop(), 0, 'it ends when told to')
  webhook = undefined
  const { status, body } = await dryRun(plain('alone'))
  t.equal(status, 201)
  t.notOk(isInjected(body))
  t.match(await helmTest(), /^1 A labelled pod does not get the agent/)
})

/** Other annotations of Stoker's than these, and emptied ones, are beyond the policy. */
function isCovered({ metadata }: Pod): boolean {
  const known = ['container', 'max-memory', 'agent-only-token', 'injected']
  return Object.entries(metadata?.annotations ?? {})
    .filter(([name]) => name.startsWith('stoker.dev/'))
    .every(([name, value]) => known.includes(name.slice('stoker.dev/'.length)) && value !== '')
}

/** The spec and the annotations; names of token volumes are random. */
function comparable(body: Body | undefined): unknown {
  const text = JSON.stringify({
    spec: (body as SeenPod).spec,
    annotations: body?.metadata?.annotations,
  })
  return JSON.parse(text.replaceAll(/kube-api-access-\w+/g, 'kube-api-access'))
}

/** The pod as it would be had nobody injected it. */
async function plainly({ metadata, ...pod }: Manifest): Promise<Body> {
  const { 'stoker.dev/inject': _, ...labels } = Object(metadata['labels'])
  return (await dryRun({ ...pod, metadata: { ...metadata, labels } })).body
}

/** What `stoker uninject` makes of a pod as the server has it. */
function uninjected(body: Body): Body {
  const copy = structuredClone(body)
  applyPatch(copy, structuredClone([...uninject(asPod(body)).operations]))
  return copy
}

/** What the record has to hold as it was. */
const odd: [title: string, annotations: Record<string, string>][] = [
  ['an emptied annotation', { 'stoker.dev/container': '' }],
  ['a record of somebody else’s', { 'stoker.dev/injected': 'a "b\\c"\n{}' }],
  ['a token taken away', { 'stoker.dev/agent-only-token': 'true' }],
]

t.test(
  'the policy adds what the webhook adds, where it adds anything, and it is taken back',
  async t => {
    await admin.ok('DELETE', await admin.pathOf(configuration))
    const rendered = await render(
      SYSTEM,
      '-f',
      valuesFile('values-policy.yaml'),
      ...injection.flags,
    )
    const policy = rendered.filter(({ kind }) => /^MutatingAdmission|^ConfigMap$/.test(kind))
    await settled(false)
    await admin.apply(...policy)
    await settled(true)
    for (const { name, pod } of shapes()) {
      const { status, body } = await dryRun(labelled(pod, name))
      t.equal(status, 201, `${name}: ${body.message ?? ''}`)
      if (isCovered(pod)) {
        t.same(comparable(body), comparable(byWebhook.get(name)), name)
        if (inject(pod, options).outcome === 'injected') {
          const before = await plainly(labelled(pod, name))
          t.same(comparable(uninjected(body)), comparable(before), `${name}: and back`)
        }
      } else {
        const already = inject(pod, options).reasons[0].code === 'already_injected'
        t.equal(isInjected(body), already, `${name}: left alone`)
      }
    }
    for (const [title, annotations] of odd) {
      const pod = plain('odd', NS, { annotations, labels: { 'stoker.dev/inject': 'true' } })
      const { body } = await dryRun(pod)
      t.ok(isInjected(body), title)
      t.same(comparable(uninjected(body)), comparable(await plainly(pod)), `${title}: and back`)
    }
    t.equal(await helmTest(), '0 A labelled pod gets the agent.\n', 'helm test finds it, too')
    const { spec } = (await dryRun(plain('once'))).body as SeenPod
    const twice = (await dryRun({ ...plain('twice'), spec })).body as SeenPod
    t.same(twice.spec, spec, 'an injected pod is left as it is')
  },
)
