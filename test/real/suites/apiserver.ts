/** On a real API server: what the agent's token may do under k8s/policies/resize-own-pod.yaml, and that it may do nothing else. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startApiServer } from '../cluster/apiserver.ts'
import { STRATEGIC, type Body, type Client, type Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { playNode, playPod, type PodManifest } from '../cluster/play.ts'
import { mayResize } from '../cluster/rights.ts'
import { until } from '../until.ts'

t.setTimeout(120_000)

const NS = 'serving'
const policy = readManifests(join(import.meta.dirname, '../../../k8s/policies/resize-own-pod.yaml'))

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server

await server.addNamespace(NS)
await server.addNamespace('elsewhere')
await admin.apply(
  ...policy,
  ...accounts('agent', 'autoscaler', 'nobody'),
  ...mayResize(NS, { kind: 'ServiceAccount', name: 'agent' }, ['patch']),
  ...mayResize(NS, { kind: 'ServiceAccount', name: 'autoscaler' }, ['patch', 'resize-any']),
  ...mayResize(NS, { kind: 'User', name: 'operator' }, ['patch']),
)
await playNode(admin, 'node1', '16Gi')

function accounts(...names: string[]): Manifest[] {
  return names.map(name => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: NS },
  }))
}

type Resources = Record<string, Record<string, string>>

interface Shape {
  annotations?: Record<string, string>
  /** Of the container torchserve. */
  resources?: Resources
  /** Of the pod as a whole. */
  whole?: Resources
}

/** A pod of torchserve, another container, the agent as native sidecar, and an ordinary init container. */
function create(name: string, shape: Shape = {}): Promise<Body> {
  const small = { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '64Mi' } }
  const large = { requests: { cpu: '1', memory: '2Gi' }, limits: { cpu: '2', memory: '4Gi' } }
  const annotations = { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': '8Gi' }
  const image = 'played'
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NS, annotations: shape.annotations ?? annotations },
    spec: {
      serviceAccountName: 'agent',
      nodeName: 'node1',
      containers: [
        { name: 'torchserve', image, resources: shape.resources ?? large },
        { name: 'other', image, resources: small },
      ],
      initContainers: [
        { name: 'agent', image, resources: small, restartPolicy: 'Always' },
        { name: 'setup', image, resources: small },
      ],
      ...(shape.whole && { resources: shape.whole }),
    },
  }
  return playPod(admin, pod as unknown as PodManifest)
}

const pathOf = (pod: string, namespace = NS) => `/api/v1/namespaces/${namespace}/pods/${pod}/resize`

const resize = (caller: Client, pod: string, body: unknown, query = '') => {
  const type = Array.isArray(body) ? 'application/json-patch+json' : STRATEGIC
  return caller.call('PATCH', pathOf(pod) + query, body, type)
}

const of = (name: string, resources: object) => ({ spec: { containers: [{ name, resources }] } })
const ofInit = (name: string, resources: object) => ({
  spec: { initContainers: [{ name, resources }] },
})
const memory = (requests: string, limits: string) => ({
  requests: { memory: requests },
  limits: { memory: limits },
})

/** As the agent in that pod. */
async function within(pod: Body): Promise<Client> {
  const bound = { namespace: NS, serviceAccount: 'agent', pod: pod.metadata ?? {} }
  return server.as(await server.token(bound))
}

/** As a service account whose token names no pod. */
async function unbound(serviceAccount: string): Promise<Client> {
  return server.as(await server.token({ namespace: NS, serviceAccount }))
}

const own = await create('own')
await create('neighbour')
const agent = await within(own)
const nameless = await unbound('agent')
// A new policy is enforced only after a moment.
if (!(await until(async () => (await resize(nameless, 'own', {})).status === 403, 10_000)))
  throw new Error('The policy is not enforced')

const raise = of('torchserve', memory('3Gi', '5Gi'))
const onlyItself = 'a pod may only resize itself'
const onlyTarget = 'only the container named by annotation stoker.dev/container may be resized'
const onlyMemory = 'only memory may be resized'
const aboveCap = 'memory above the cap of annotation stoker.dev/max-memory: 8Gi'

const { minor } = (await admin.ok('GET', '/version')) as { minor?: string }
/** Servers before 1.36 refuse some of it themselves, whoever asks, before any policy is. */
const refusesItself = Number(minor) < 36

/** Who sends what to which pod, and what the policy says against it: nothing, where it passes. */
type Case = [
  title: string,
  caller: Client,
  pod: string,
  body: unknown,
  refusal?: string,
  before136?: RegExp,
]

async function hold(t: Test, cases: readonly Case[]) {
  for (const [title, caller, pod, body, refusal, before136] of cases) {
    const { status, body: answer } = await resize(caller, pod, body)
    if (before136 && refusesItself) {
      t.equal(status, 422, `${title}: invalid`)
      t.match(answer.message, before136)
      continue
    }
    if (refusal === undefined) {
      t.equal(status, 200, `${title}: allowed ${answer.message ?? ''}`)
      continue
    }
    t.equal(status, 403, `${title}: forbidden`)
    const author = "ValidatingAdmissionPolicy 'stoker-resize-own-pod'"
    t.ok(answer.message?.includes(author), `by the policy: ${answer.message}`)
    t.ok(answer.message?.includes(refusal), `because ${refusal}`)
  }
}

t.test('its own pod, its own container, memory, up to the cap', async t => {
  const tampered = { metadata: { annotations: { 'stoker.dev/max-memory': '99Gi' } } }
  const path = '/spec/containers/0/resources/limits/memory'
  await hold(t, [
    ['the empty patch', agent, 'own', {}],
    ['a raise', agent, 'own', raise],
    [
      'a raise to the cap, written otherwise',
      agent,
      'own',
      of('torchserve', memory('3Gi', '8192Mi')),
    ],
    ['a decrease', agent, 'own', of('torchserve', memory('1Gi', '2Gi'))],
    ['a JSON patch', agent, 'own', [{ op: 'replace', path, value: '7Gi' }]],
    ['an annotation beside a raise', agent, 'own', { ...raise, ...tampered }],
    [
      'a raise above the cap just written',
      agent,
      'own',
      { ...of('torchserve', memory('3Gi', '9Gi')), ...tampered },
      aboveCap,
    ],
    ['a limit above the cap', agent, 'own', of('torchserve', memory('3Gi', '8193Mi')), aboveCap],
    ['cpu', agent, 'own', of('torchserve', { requests: { cpu: '1500m' } }), onlyMemory],
    [
      'cpu beside memory',
      agent,
      'own',
      of('torchserve', { requests: { memory: '3Gi' }, limits: { cpu: '3' } }),
      onlyMemory,
    ],
    ['another container', agent, 'own', of('other', memory('192Mi', '192Mi')), onlyTarget],
    ['cpu of another', agent, 'own', of('other', { limits: { cpu: '1' } }), onlyTarget],
    [
      'both containers',
      agent,
      'own',
      {
        spec: {
          containers: [
            { name: 'torchserve', resources: { limits: { memory: '6Gi' } } },
            { name: 'other', resources: { limits: { memory: '65Mi' } } },
          ],
        },
      },
      onlyTarget,
    ],
    ['itself', agent, 'own', ofInit('agent', memory('96Mi', '96Mi')), onlyTarget],
    [
      'an init container',
      agent,
      'own',
      ofInit('setup', { limits: { memory: '96Mi' } }),
      onlyTarget,
      /non-sidecar init containers are immutable/,
    ],
  ])
  const { spec } = (await resize(agent, 'own', {})).body as unknown as PodManifest
  t.same(
    spec.containers[0]?.resources?.limits['memory'],
    '5Gi',
    'what was allowed last is what holds',
  )
})

t.test('no other pod, not even to look', async t => {
  await hold(t, [
    ['a raise', agent, 'neighbour', raise, onlyItself],
    ['the empty patch', agent, 'neighbour', {}, onlyItself],
    ['a token that names no pod', nameless, 'own', raise, onlyItself],
    ['that of a controller which may resize any', await unbound('autoscaler'), 'own', raise],
    ['a person who may patch pods/resize', server.asUser('operator'), 'own', raise],
    ['an administrator', admin, 'own', of('torchserve', memory('4Gi', '12Gi'))],
  ])
  const dry = await resize(agent, 'neighbour', raise, '?dryRun=All')
  t.equal(dry.status, 403, 'a dry run')
})

t.test('a Secret’s token, which names no pod either', async t => {
  const legacy = server.as(await server.legacyToken(NS, 'agent'))
  const known = async () => (await resize(legacy, 'own', {})).status !== 401
  t.ok(await until(known, 5_000), 'the server knows it')
  await hold(t, [['the empty patch', legacy, 'own', {}, onlyItself]])
})

t.test('pods of other shapes', async t => {
  const unlimited = { requests: { cpu: '1', memory: '2Gi' } }
  const whole = { requests: { memory: '4Gi' }, limits: { memory: '6Gi' } }
  const bare = await within(await create('bare', { annotations: {} }))
  const odd = await within(
    await create('odd', {
      annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': 'lots' },
    }),
  )
  const open = await within(await create('open', { resources: unlimited }))
  const pod = await within(await create('whole', { whole }))
  const request = (amount: string) => of('torchserve', { requests: { memory: amount } })
  await hold(t, [
    ['without annotations, the empty patch', bare, 'bare', {}],
    ['without annotations, a raise', bare, 'bare', raise, `${onlyTarget}, it names ""`],
    ['with a cap that is no quantity', odd, 'odd', raise, 'stoker.dev/max-memory: lots'],
    ['without a limit, a request below the cap', open, 'open', request('7Gi')],
    ['without a limit, a request above it', open, 'open', request('9Gi'), aboveCap],
    [
      'the resources of the whole pod',
      pod,
      'whole',
      { spec: { resources: memory('5Gi', '7Gi') } },
      onlyTarget,
      /pods with pod-level resources/,
    ],
  ])
})

t.test('a pod recreated under the same name: the old token is worth nothing', async t => {
  const before = await within(await create('again'))
  t.equal((await resize(before, 'again', {})).status, 200)
  await admin.ok('DELETE', `/api/v1/namespaces/${NS}/pods/again?gracePeriodSeconds=0`)
  t.equal((await resize(before, 'again', {})).status, 404, 'while there is none')
  const after = await within(await create('again'))
  // The server remembers for ten seconds that a token was good.
  await hold(t, [
    ['the old token', before, 'again', {}, onlyItself],
    ['the new one', after, 'again', {}],
  ])
})

t.test('the right to patch pods/resize gives no other', async t => {
  const pods = `/api/v1/namespaces/${NS}/pods`
  const attempts: [string, ...Parameters<Client['call']>][] = [
    ['reading its pod', 'GET', `${pods}/own`],
    ['reading it by the subresource', 'GET', pathOf('own')],
    ['replacing it', 'PUT', pathOf('own'), own],
    ['patching the pod', 'PATCH', `${pods}/own`, {}, STRATEGIC],
    ['patching its status', 'PATCH', `${pods}/own/status`, {}, STRATEGIC],
    ['listing pods', 'GET', pods],
    ['another namespace', 'PATCH', pathOf('own', 'elsewhere'), {}, STRATEGIC],
  ]
  for (const [title, ...call] of attempts) {
    const { status, body } = await agent.call(...call)
    t.equal(status, 403, title)
    t.match(body.message, /User "system:serviceaccount:serving:agent" cannot /)
  }
  const nobody = await resize(await unbound('nobody'), 'own', {})
  t.match(
    nobody.body.message,
    /cannot patch resource "pods\/resize"/,
    'and without it there is none',
  )
  t.equal((await resize(server.as('no such token'), 'own', {})).status, 401)
})
