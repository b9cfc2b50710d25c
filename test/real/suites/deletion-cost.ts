/** On a real API server: what k8s/policies/deletion-cost-own-pod.yaml leaves of the right to patch pods, and to whom. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startApiServer } from '../cluster/apiserver.ts'
import { STRATEGIC, type Body, type Client, type Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { playNode, playPod } from '../cluster/play.ts'
import { mayChangePods, mayResize } from '../cluster/rights.ts'
import { until } from '../until.ts'

t.setTimeout(120_000)

const NS = 'serving'
const COST = 'controller.kubernetes.io/pod-deletion-cost'
const policies = ['resize-own-pod', 'deletion-cost-own-pod'].flatMap(name =>
  readManifests(join(import.meta.dirname, `../../../k8s/policies/${name}.yaml`)),
)

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server

await server.addNamespace(NS)
await server.addNamespace('elsewhere')
const account = (name: string) => ({ kind: 'ServiceAccount', name }) as const
const agents = ['patch', 'set-own-deletion-cost']
await admin.apply(
  ...policies,
  ...accounts('agent', 'operator', 'both'),
  ...mayResize(NS, account('agent'), ['patch']),
  ...mayChangePods(NS, account('agent'), agents),
  ...mayChangePods(NS, account('operator'), ['patch']),
  ...mayChangePods(NS, account('both'), [...agents, 'patch-any']),
)
await playNode(admin, 'node1', '16Gi')

function accounts(...names: string[]): Manifest[] {
  return names.map(name => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: NS },
  }))
}

function create(name: string, annotations: Record<string, string>): Promise<Body> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NS, annotations, labels: { app: 'torchserve' } },
    spec: {
      serviceAccountName: 'agent',
      nodeName: 'node1',
      containers: [{ name: 'torchserve', image: 'played' }],
    },
  }
  return playPod(admin, pod)
}

const pathOf = (pod: string, namespace = NS) => `/api/v1/namespaces/${namespace}/pods/${pod}`

/** A JSON patch where the body is a list. */
function patch(caller: Client, pod: string, body: unknown, query = '') {
  const type = Array.isArray(body) ? 'application/json-patch+json' : STRATEGIC
  return caller.call('PATCH', pathOf(pod) + query, body, type)
}

async function within(serviceAccount: string, pod: Body): Promise<Client> {
  const bound = { namespace: NS, serviceAccount, pod: pod.metadata ?? {} }
  return server.as(await server.token(bound))
}

async function unbound(serviceAccount: string): Promise<Client> {
  return server.as(await server.token({ namespace: NS, serviceAccount }))
}

const annotated = (annotations: Record<string, string | null>) => ({ metadata: { annotations } })
const cost = (value: string | null) => annotated({ [COST]: value })

const own = await create('own', { 'stoker.dev/max-memory': '8Gi', note: 'a' })
await create('neighbour', {})
const bare = await create('bare', {})
const agent = await within('agent', own)
const nameless = await unbound('agent')
const enforced = async () => (await patch(nameless, 'own', {})).status === 403
if (!(await until(enforced, 10_000))) throw new Error('The policy is not enforced')

const onlyItself = 'a pod may only set its own deletion cost'
const onlyCost = `only the annotation ${COST} may be changed`

/** Who sends what to which pod, and what the policy says against it: nothing, where it passes. */
type Case = [title: string, caller: Client, pod: string, body: unknown, refusal?: string]

async function hold(t: Test, cases: readonly Case[]) {
  for (const [title, caller, pod, body, refusal] of cases) {
    const { status, body: answer } = await patch(caller, pod, body)
    if (refusal === undefined) {
      t.equal(status, 200, `${title}: allowed ${answer.message ?? ''}`)
      continue
    }
    t.equal(status, 403, `${title}: forbidden, ${answer.message}`)
    const author = "ValidatingAdmissionPolicy 'stoker-deletion-cost-own-pod'"
    t.ok(answer.message?.includes(author), `by the policy: ${answer.message}`)
    t.ok(answer.message?.includes(refusal), `because ${refusal}`)
  }
}

t.test('its own pod, one annotation', async t => {
  const all = { key: 'all', operator: 'Exists' }
  const tolerating = [{ op: 'add', path: '/spec/tolerations/-', value: all }]
  const image = { spec: { containers: [{ name: 'torchserve', image: 'other' }] } }
  await hold(t, [
    ['the empty patch', agent, 'own', {}],
    ['its cost', agent, 'own', cost('7')],
    ['another cost', agent, 'own', { ...cost('-3') }],
    ['no cost', agent, 'own', cost(null)],
    [
      'a JSON patch',
      agent,
      'own',
      [{ op: 'add', path: `/metadata/annotations/${COST.replace('/', '~1')}`, value: '5' }],
    ],
    ['the first annotation of a pod', await within('agent', bare), 'bare', cost('1')],
    ['the cap', agent, 'own', annotated({ 'stoker.dev/max-memory': '99Gi' }), onlyCost],
    [
      'the cap beside its cost',
      agent,
      'own',
      annotated({ [COST]: '8', 'stoker.dev/max-memory': '99Gi' }),
      onlyCost,
    ],
    ['another annotation', agent, 'own', annotated({ extra: 'b' }), onlyCost],
    ['one annotation less', agent, 'own', annotated({ note: null }), onlyCost],
    [
      'a label, which would take it out of its Service',
      agent,
      'own',
      { metadata: { labels: { app: null } } },
      onlyCost,
    ],
    ['one more label', agent, 'own', { metadata: { labels: { extra: 'b' } } }, onlyCost],
    ['a finalizer', agent, 'own', { metadata: { finalizers: ['a/b'] } }, onlyCost],
    [
      'an owner',
      agent,
      'own',
      { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }] } },
      onlyCost,
    ],
    ['another image', agent, 'own', image, onlyCost],
    ['a deadline', agent, 'own', { spec: { activeDeadlineSeconds: 1 } }, onlyCost],
    ['a toleration', agent, 'own', tolerating, onlyCost],
  ])
  const { metadata } = await admin.ok('GET', pathOf('own'))
  t.match(metadata?.annotations, { [COST]: '5', 'stoker.dev/max-memory': '8Gi', note: 'a' })
})

t.test('no other pod, not even to look', async t => {
  await hold(t, [
    ['a cost', agent, 'neighbour', cost('1'), onlyItself],
    ['the empty patch', agent, 'neighbour', {}, onlyItself],
    ['a token that names no pod', nameless, 'own', cost('1'), onlyItself],
  ])
  const dry = await patch(agent, 'neighbour', cost('1'), '?dryRun=All')
  t.equal(dry.status, 403, 'a dry run')
})

t.test('whoever patches pods for other reasons is not concerned', async t => {
  const relabelled = { metadata: { labels: { by: 'somebody' } } }
  await hold(t, [
    ['an operator without the verb', await unbound('operator'), 'own', relabelled],
    ['one with both', await unbound('both'), 'neighbour', relabelled],
    ['an administrator', admin, 'own', annotated({ note: 'c' })],
  ])
})

t.test('the right gives no other', async t => {
  const pods = `/api/v1/namespaces/${NS}/pods`
  const attempts: [string, ...Parameters<Client['call']>][] = [
    ['reading its pod', 'GET', pathOf('own')],
    ['replacing it', 'PUT', pathOf('own'), own],
    ['deleting it', 'DELETE', pathOf('own')],
    ['patching its status', 'PATCH', `${pathOf('own')}/status`, {}, STRATEGIC],
    ['another container', 'PATCH', `${pathOf('own')}/ephemeralcontainers`, {}, STRATEGIC],
    ['listing pods', 'GET', pods],
    ['another namespace', 'PATCH', pathOf('own', 'elsewhere'), {}, STRATEGIC],
  ]
  for (const [title, ...call] of attempts) {
    const { status, body } = await agent.call(...call)
    t.equal(status, 403, title)
    t.match(body.message, /User "system:serviceaccount:serving:agent" cannot /)
  }
})
