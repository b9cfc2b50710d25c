/** What the kubelet makes of what was granted. */
import {
  burstable,
  conditionsOf,
  container,
  done,
  GiB,
  guaranteed,
  memory,
  MiB,
  read,
  resize,
  resourcesOf,
  said,
  to,
  waitFor,
} from './calls.ts'
import type { ContainerShape } from '../../../src/simulate/kubernetes/cluster.ts'
import type { Case, Node, PodRef, ResizeTarget, Shape } from './target.ts'

export function nodeOf({ node }: ResizeTarget): Node {
  if (!node) throw new Error('this case needs a node')
  return node
}

/** The memory limit of the container's cgroup. */
export async function limitOf(target: ResizeTarget, pod: PodRef, name = 'torchserve') {
  const { containers } = await nodeOf(target).limits(pod)
  return containers[name]
}

type Policy = NonNullable<ContainerShape['resizePolicy']>

const POLICIES: readonly [string, Policy][] = [
  ['no restart', { cpu: 'NotRequired', memory: 'NotRequired' }],
  ['mem restart', { cpu: 'NotRequired', memory: 'RestartContainer' }],
  ['cpu restart', { cpu: 'RestartContainer', memory: 'NotRequired' }],
  ['cpu & mem restart', { cpu: 'RestartContainer', memory: 'RestartContainer' }],
]

/** Before and after, as `cpu memory` for requests and limits; cpu in tenths. */
interface Change {
  name: string
  requests: [before: string, after: string]
  limits: [before: string, after: string]
}

const list = (text: string) => {
  const [cpu = '', amount = ''] = text.split(' ')
  return { cpu: `${cpu}00m`, memory: amount }
}

const GUARANTEED: readonly Change[] = [
  ['cpu', '2 2Gi'],
  ['mem', '1 3Gi'],
  ['cpu & mem in the same direction', '2 3Gi'],
  ['cpu & mem in opposite directions', '2 1Gi'],
].map(([name = '', after = '']) => ({
  name,
  requests: ['1 2Gi', after],
  limits: ['1 2Gi', after],
}))

const BURSTABLE: readonly Change[] = [
  { name: 'cpu requests', requests: ['1 2Gi', '2 2Gi'], limits: ['3 4Gi', '3 4Gi'] },
  { name: 'cpu limits', requests: ['1 2Gi', '1 2Gi'], limits: ['3 4Gi', '4 4Gi'] },
  { name: 'mem requests', requests: ['1 2Gi', '1 3Gi'], limits: ['3 4Gi', '3 4Gi'] },
  { name: 'mem limits', requests: ['1 2Gi', '1 2Gi'], limits: ['3 4Gi', '3 5Gi'] },
  { name: 'all in the same direction', requests: ['1 2Gi', '2 3Gi'], limits: ['3 4Gi', '4 5Gi'] },
  {
    name: 'cpu & mem in opposite directions',
    requests: ['1 2Gi', '2 1Gi'],
    limits: ['3 4Gi', '4 3Gi'],
  },
  {
    name: 'requests & limits in opposite directions',
    requests: ['1 2Gi', '2 3Gi'],
    limits: ['4 5Gi', '3 4Gi'],
  },
]

/** A sidecar's memory before and after. */
const SIDECAR = ['64Mi', '96Mi'] as const

/**
 * Each change is made and taken back; the container is restarted only where its policy says so. `both`: the sidecar, an init
 * container that is restarted, is changed with it.
 */
function changes(
  qos: string,
  rows: readonly Change[],
  sidecar: ContainerShape,
  both = false,
): Case[] {
  return rows.flatMap(({ name, requests, limits }) =>
    POLICIES.map(([label, resizePolicy]): Case => ({
      name: `${qos} pod - 1 container with ${name}${both ? ' & resize initContainers' : ''} (${label})`,
      needs: 'node',
      run: async (t, target, namespace) => {
        const state = (place: 0 | 1) => ({
          requests: list(requests[place]),
          limits: list(limits[place]),
        })
        const main = { name: 'torchserve', ...state(0), resizePolicy }
        const shape: Shape = { containers: [main], sidecars: [sidecar] }
        const pod = await target.create(namespace, shape)
        const touched = (['cpu', 'memory'] as const).filter(resource =>
          [requests, limits].some(
            ([before, after]) => list(before)[resource] !== list(after)[resource],
          ),
        )
        const restarts = touched.some(resource => resizePolicy[resource] === 'RestartContainer')
        for (const [round, place] of ([1, 0] as const).entries()) {
          const { spec } = to({ torchserve: state(place) })
          const small = SIDECAR[both ? place : 0]
          const initContainers = [{ name: sidecar.name, resources: memory(small, small) }]
          const body = { spec: both ? { ...spec, initContainers } : spec }
          const answer = await resize(target, pod, body)
          t.equal(answer.status, 200, answer.message)
          const now = await done(target, pod)
          const [beside] = now.status.initContainerStatuses ?? []
          t.match(beside, { restartCount: 0, resources: { limits: { memory: small } } })
          t.strictSame(resourcesOf(now, 'torchserve'), state(place))
          const status = now.status.containerStatuses?.[0]
          t.equal(status?.restartCount, restarts ? round + 1 : 0, 'restarts')
          t.strictSame(status?.allocatedResources, state(place).requests)
          const bytes = Number.parseInt(list(limits[place]).memory, 10) * GiB
          t.equal(await limitOf(target, pod), bytes, 'the cgroup’s limit')
        }
      },
    })),
  )
}

const three = (name: string, after: readonly string[]): Case => ({
  name: `Guaranteed pod - 3 containers - ${name}`,
  needs: 'node',
  run: async (t, target, namespace) => {
    const names = ['a', 'b', 'c'] as const
    const equal = (each: string, amount: string) =>
      container(each, { cpu: '100m', memory: amount }, { cpu: '100m', memory: amount })
    const pod = await target.create(namespace, {
      containers: names.map(each => equal(each, '2Gi')),
    })
    const body = (amounts: readonly string[]) =>
      to(
        Object.fromEntries(
          names.map((each, place) => [each, memory(amounts[place], amounts[place])]),
        ),
      )
    for (const amounts of [after, ['2Gi', '2Gi', '2Gi']]) {
      const answer = await resize(target, pod, body(amounts))
      t.equal(answer.status, 200, answer.message)
      const now = await done(target, pod)
      const limits = await nodeOf(target).limits(pod)
      for (const [place, each] of names.entries()) {
        t.equal(resourcesOf(now, each).limits?.['memory'], amounts[place])
        t.equal(limits.containers[each], Number.parseInt(amounts[place] ?? '', 10) * GiB)
      }
      const sum = amounts.reduce((total: number, amount) => total + Number.parseInt(amount, 10), 0)
      t.equal(limits.pod, sum * GiB, 'the pod’s cgroup')
    }
  },
})

const various: Case = {
  name: 'Burstable pod - 6 containers - various operations performed (including adding limits and requests)',
  needs: 'node',
  run: async (t, target, namespace) => {
    const cpu = { cpu: '50m' }
    const amounts = { memory: '256Mi' }
    const rows: readonly [string, ContainerShape, ReturnType<typeof memory>][] = [
      ['c1', container('c1', cpu), { requests: { cpu: '60m' }, limits: { cpu: '200m' } }],
      ['c2', container('c2', amounts), memory('128Mi', '512Mi')],
      ['c3', container('c3', { ...cpu, ...amounts }), memory('128Mi')],
      ['c4', container('c4', cpu), { requests: { cpu: '40m', memory: '256Mi' } }],
      ['c5', container('c5', amounts), { requests: { cpu: '50m', memory: '384Mi' } }],
      ['c6', container('c6', amounts, { memory: '1Gi' }), memory('384Mi', '768Mi')],
    ]
    const pod = await target.create(namespace, { containers: rows.map(([, shape]) => shape) })
    const body = to(Object.fromEntries(rows.map(([name, , change]) => [name, change])))
    const answer = await resize(target, pod, body)
    t.equal(answer.status, 200, answer.message)
    const now = await done(target, pod)
    for (const [name, shape, change] of rows) {
      const resources = resourcesOf(now, name)
      t.match(resources.requests, { ...shape.requests, ...change.requests }, `${name}: requests`)
      t.match(resources.limits ?? {}, { ...shape.limits, ...change.limits }, `${name}: limits`)
    }
    t.ok(now.status.containerStatuses?.every(({ restartCount }) => restartCount === 0))
    const limits = await nodeOf(target).limits(pod)
    t.equal(limits.containers['c2'], 512 * MiB, 'added')
    t.equal(limits.containers['c6'], 768 * MiB, 'lowered')
    t.equal(limits.pod, undefined, 'others have none, so the pod has none')
  },
}

const adding: Case = {
  name: 'Burstable pod - the last containers without a limit get one: so does the pod',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, {
      containers: [
        container('torchserve', { cpu: '100m', memory: '2Gi' }, { memory: '4Gi' }),
        container('requests', { cpu: '100m', memory: '1Gi' }),
        container('nothing', undefined),
      ],
    })
    t.equal((await nodeOf(target).limits(pod)).pod, undefined, 'the pod is not limited')
    const answer = await resize(
      target,
      pod,
      to({ requests: memory(undefined, '2Gi'), nothing: memory('256Mi', '512Mi') }),
    )
    t.equal(answer.status, 200, answer.message)
    await done(target, pod)
    const limits = await nodeOf(target).limits(pod)
    t.equal(limits.containers['requests'], 2 * GiB)
    t.equal(limits.containers['nothing'], 512 * MiB)
    t.equal(limits.pod, 6.5 * GiB, 'now it is')
  },
}

const equivalents: Case = {
  name: 'Burstable pod - resize to equivalents',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, {
      containers: [
        container('torchserve', { cpu: '2m', memory: '2Gi' }, { cpu: '10m', memory: '4Gi' }),
      ],
    })
    for (const [request, limit] of [
      ['1m', '5m'],
      ['2m', '10m'],
    ] as const) {
      const cpu = { requests: { cpu: request }, limits: { cpu: limit } }
      const answer = await resize(target, pod, to({ torchserve: cpu }))
      t.equal(answer.status, 200, answer.message)
      const now = await done(target, pod)
      const status = now.status.containerStatuses?.[0]
      t.equal(status?.restartCount, 0)
      t.match(status?.resources, cpu, 'the status says what was asked for')
    }
  },
}

const unseen: Case = {
  name: 'conditions are absent but observedGeneration is stale: nothing is known yet',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await nodeOf(target).stopKubelet()
    const { pod: patched } = await resize(target, pod, to({ torchserve: memory('3Gi', '5Gi') }))
    await target.clock.sleep(20_000)
    const still = await read(target, pod)
    t.strictSame(conditionsOf(still), [])
    t.equal(still.metadata.generation, patched.metadata.generation)
    t.equal(still.status.observedGeneration, 1)
    t.equal(await limitOf(target, pod), 4 * GiB)
    const startedMs = target.clock.now()
    await nodeOf(target).startKubelet()
    await done(target, pod)
    const tookMs = target.clock.now() - startedMs
    t.ok(tookMs > 29_000 && tookMs < 45_000, `with its first tick, after ${Math.round(tookMs)} ms`)
    t.equal(await limitOf(target, pod), 5 * GiB)
  },
}

const order: Case = {
  name: 'the pod’s cgroup is raised before its containers’',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await resize(target, pod, to({ torchserve: memory(undefined, '6Gi') }))
    await waitFor(target, 'the limits are raised', 10_000, async () => {
      const { pod: whole = 0, containers } = await nodeOf(target).limits(pod)
      t.ok(whole >= (containers['torchserve'] ?? 0) + 64 * MiB, 'never less than its containers')
      return containers['torchserve'] === 6 * GiB
    })
    await done(target, pod)
  },
}

const sidecarListed: Case = {
  name: 'a sidecar is listed in initContainerStatuses, and can be resized',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const resources = memory('96Mi', '96Mi')
    const answer = await resize(target, pod, {
      spec: { initContainers: [{ name: 'agent', resources }] },
    })
    t.equal(answer.status, 200, answer.message)
    const now = await done(target, pod)
    t.match(now.status.initContainerStatuses, [
      { name: 'agent', restartCount: 0, resources: { limits: { memory: '96Mi' } } },
    ])
    t.equal((await nodeOf(target).limits(pod)).pod, 4 * GiB + 96 * MiB)
  },
}

const quick: Case = {
  name: 'a second resize before the first is done: the last wish holds',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    for (const limit of ['5Gi', '6Gi', '4Gi', '7Gi']) {
      await resize(target, pod, to({ torchserve: memory('3Gi', limit) }))
    }
    const now = await done(target, pod)
    t.equal(now.metadata.generation, 5)
    t.equal(await limitOf(target, pod), 7 * GiB)
    await said(target, pod, 'Pending', 'Deferred', 500).then(
      () => t.fail('nothing waits'),
      () => t.pass('nothing waits'),
    )
  },
}

export const actuation: readonly Case[] = [
  ...changes('Guaranteed', GUARANTEED, guaranteed.sidecars[0] ?? { name: 'agent' }),
  ...changes('Guaranteed', GUARANTEED, guaranteed.sidecars[0] ?? { name: 'agent' }, true),
  ...changes('Burstable', BURSTABLE, burstable.sidecars[0] ?? { name: 'agent' }),
  three('net increase', ['3Gi', '3Gi', '1Gi']),
  three('net decrease', ['1Gi', '1Gi', '3Gi']),
  three('one up, one down', ['3Gi', '1Gi', '2Gi']),
  various,
  adding,
  equivalents,
  unseen,
  order,
  sidecarListed,
  quick,
]
