/** Recorded resizes on a real node (1.36.3): the emulated kubelet writes the same cgroups and the same status, in the same order. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { admin } from '../../../src/simulate/kubernetes/access.ts'
import { Cluster, type PodShape } from '../../../src/simulate/kubernetes/cluster.ts'
import type { Pod, ResourceList } from '../../../src/simulate/kubernetes/objects.ts'
import type { MemoryUse } from '../../../src/simulate/kubernetes/runtime.ts'
import { virtualClock } from '../../../src/simulate/clock.ts'

interface Watched {
  gen: number
  obsGen: number
  spec: { requests: ResourceList; limits: ResourceList }
  allocated: ResourceList
  status: { requests: ResourceList; limits: ResourceList }
  conds: { type: string; reason: string | null; message: string | null }[]
}

type Entry = [atMs: number, 'watch', Watched] | [atMs: number, string, unknown]

function recorded(name: string): { patch: object; timeline: Entry[] } {
  const file = new URL(`../../captures/kubelet/${name}.timeline.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8'))
}

const MiB = 2 ** 20
const resources = (requests: string, limits: string) => ({
  requests: { cpu: '100m', memory: requests },
  limits: { cpu: '1', memory: limits },
})

/** A node of 3525.6 MiB, and the pod that was resized there. */
function world(main: ReturnType<typeof resources>, side = resources('32Mi', '64Mi')) {
  const clock = virtualClock(Date.parse('2026-11-24T05:39:27Z'))
  const cluster = new Cluster({ clock, allocatable: { cpu: '8', memory: '3696820224' } })
  const use: { now: MemoryUse } = { now: { anonBytes: 50 * MiB, fileBytes: 0 } }
  const shape: PodShape = {
    name: 'p1',
    containers: [
      { name: 'main', ...main },
      { name: 'side', ...side },
    ],
  }
  cluster.create(shape, {
    use: name => (name === 'main' ? use.now : { anonBytes: 0, fileBytes: 0 }),
  })
  const token = cluster.api.access.issue(admin)
  const patch = (body: object, name = 'p1') =>
    clock.until(
      cluster.api.handle({
        method: 'PATCH',
        target: `/api/v1/namespaces/default/pods/${name}/resize?fieldManager=stoker`,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/strategic-merge-patch+json',
        },
        body: JSON.stringify(body),
      }),
    )
  return { clock, cluster, use, patch }
}

type World = ReturnType<typeof world>

function runtime({ cluster }: World) {
  const { metadata } = cluster.pod('p1')
  if (!cluster.kubelet) throw new Error('no kubelet')
  return cluster.kubelet.runtime(metadata.uid)
}

const said = ({ spec, allocated, status, conds }: Omit<Watched, 'gen' | 'obsGen'>) => ({
  spec: [spec.requests['memory'], spec.limits['memory']],
  allocated: allocated['memory'],
  actual: [status.requests['memory'], status.limits['memory']],
  // The numbers of usage in an error's message are the moment's.
  conditions: conds.map(({ type, reason, message }) => [
    type,
    reason ?? '',
    (message ?? '').replaceAll(/usage \(\d+\)/g, 'usage'),
  ]),
})

function watched(pod: Pod): ReturnType<typeof said> & { observed: boolean } {
  const status = pod.status.containerStatuses?.find(({ name }) => name === 'main')
  const spec = pod.spec.containers.find(({ name }) => name === 'main')?.resources
  return {
    observed: pod.status.observedGeneration === pod.metadata.generation,
    ...said({
      spec: { requests: {}, limits: {}, ...spec },
      allocated: status?.allocatedResources ?? {},
      status: { requests: {}, limits: {}, ...status?.resources },
      conds: pod.status.conditions
        .filter(({ type }) => type.startsWith('PodResize'))
        .map(({ type, reason = null, message = null }) => ({ type, reason, message })),
    }),
  }
}

/** What is seen of the pod and its cgroups from the recorded patch on, each change once, with its time. */
async function observed(on: World, name: string, forMs: number) {
  const { clock, cluster } = on
  const node = runtime(on)
  const status: { atMs: number; seen: ReturnType<typeof watched> }[] = []
  const cgroups: [atMs: number, string, string][] = []
  const startMs = clock.now()
  const look = () => {
    const seen = watched(cluster.pod('p1'))
    const atMs = clock.now() - startMs
    if (JSON.stringify(seen) !== JSON.stringify(status.at(-1)?.seen)) status.push({ atMs, seen })
    const limits = {
      'cgroup.pod': node.limitBytes,
      'cgroup.ctr': node.container('main').limitBytes,
    }
    for (const [file, bytes] of Object.entries(limits)) {
      const known = cgroups.findLast(([, other]) => other === file)?.[2]
      if (known !== String(bytes)) cgroups.push([atMs, file, String(bytes)])
    }
  }
  look()
  const before = cgroups.length
  await on.patch(recorded(name).patch)
  for (let ms = 0; ms < forMs; ms++) {
    look()
    await clock.advance(1)
  }
  return { status: status.slice(1), cgroups: cgroups.slice(before) }
}

function expected(name: string) {
  const { timeline } = recorded(name)
  const status = timeline
    .filter((entry): entry is [number, 'watch', Watched] => entry[1] === 'watch')
    .map(([, , entry]) => ({ observed: entry.gen === entry.obsGen, ...said(entry) }))
  const cgroups = timeline
    .filter(([, what]) => what.startsWith('cgroup'))
    .map(([, what, bytes]) => [what, String(bytes)])
  const lastMs = Number(timeline.findLast(([, what]) => what === 'watch')?.[0])
  return { status, cgroups, lastMs }
}

async function compare(t: Test, on: World, name: string, forMs = 300) {
  const seen = await observed(on, name, forMs)
  const real = expected(name)
  t.strictSame(
    seen.status.map(({ seen: each }) => each),
    real.status,
    `${name}: status`,
  )
  t.strictSame(
    seen.cgroups.map(([, file, bytes]) => [file, bytes]),
    real.cgroups,
    `${name}: cgroups`,
  )
  const lastMs = seen.status.at(-1)?.atMs ?? 0
  t.ok(
    lastMs > real.lastMs * 0.3 && lastMs < real.lastMs * 2,
    `${name}: settled after ${lastMs} ms, the real one after ${real.lastMs} ms`,
  )
}

t.test('raising, raising the limit alone, lowering', async t => {
  const on = world(resources('200Mi', '200Mi'))
  await compare(t, on, '01-raise')
  await compare(t, on, '02-raise-limit-only')
  await compare(t, on, '03-lower-above-usage')
})

t.test('a limit below what is in use: no reason at first, an error later, and back', async t => {
  const on = world(resources('200Mi', '300Mi'))
  on.use.now = { anonBytes: 232 * MiB, fileBytes: 0 }
  await on.clock.advance(11_000)
  await compare(t, on, '06-lower-below-usage-stats-fresh', 18_000)
  await compare(t, on, '05-revert-after-refusal')
})

t.test('files in memory are in use', async t => {
  const on = world(resources('200Mi', '300Mi'))
  on.use.now = { anonBytes: MiB, fileBytes: 231 * MiB }
  await on.clock.advance(11_000)
  await compare(t, on, '06-lower-below-usage-stats-fresh', 18_000)
})

t.test('a full node: a limit is raised all the same, a request waits, and gives way', async t => {
  const on = world(resources('100Mi', '150Mi'))
  on.cluster.create({ name: 'p2', containers: [{ name: 'main', requests: { memory: '2Gi' } }] })
  await compare(t, on, '10-raise-limit-only-node-full')
  await compare(t, on, '11-deferred')
  on.cluster.delete('p2', { graceMs: 2_000 })
  await on.clock.advance(2_700)
  t.strictSame(watched(on.cluster.pod('p1')).actual, ['2Gi', '2500Mi'], 'granted after 2.65 s')
  await compare(t, on, '13-lower-back')
})

t.test('what waits for room gets it when another pod shrinks', async t => {
  const on = world(resources('100Mi', '2500Mi'))
  on.cluster.create({ name: 'p2', containers: [{ name: 'main', requests: { memory: '2Gi' } }] })
  await compare(t, on, '11-deferred')
  await on.patch(
    { spec: { containers: [{ name: 'main', resources: { requests: { memory: '1Gi' } } }] } },
    'p2',
  )
  await on.clock.advance(150)
  t.strictSame(watched(on.cluster.pod('p1')).actual, ['2Gi', '2500Mi'], 'after 0.12 s')
})

t.test('a wish that waits is taken back', async t => {
  const on = world(resources('100Mi', '300Mi'))
  on.cluster.create({ name: 'p2', containers: [{ name: 'main', requests: { memory: '2Gi' } }] })
  const wish = { requests: { memory: '2Gi' }, limits: { memory: '2500Mi' } }
  await on.patch({ spec: { containers: [{ name: 'main', resources: wish }] } })
  await on.clock.advance(100)
  await compare(t, on, '18-revert-deferred')
})

t.test(
  'a wish that waits behind a decrease that fails: both are said, and end together',
  async t => {
    const on = world(resources('200Mi', '520Mi'), resources('40Mi', '96Mi'))
    on.cluster.create({
      name: 'p2',
      containers: [{ name: 'main', requests: { memory: '2180Mi' } }],
    })
    on.use.now = { anonBytes: 451 * MiB, fileBytes: 0 }
    const wish = (requests: string, limits: string) => ({
      spec: {
        containers: [
          {
            name: 'main',
            resources: { requests: { memory: requests }, limits: { memory: limits } },
          },
        ],
      },
    })
    await on.clock.advance(11_000)
    await on.patch(wish('100Mi', '150Mi'))
    await on.clock.advance(18_000)
    await on.patch(wish('2Gi', '2500Mi'))
    await on.clock.advance(100)
    const conditions = on.cluster
      .pod('p1')
      .status.conditions.map(({ type, reason, observedGeneration }) => [
        type,
        reason,
        observedGeneration,
      ])
    t.strictSame(conditions.slice(0, 2), [
      ['PodResizePending', 'Deferred', 3],
      ['PodResizeInProgress', 'Error', 2],
    ])
    await compare(t, on, '44-revert')
  },
)

t.test(
  'left behind by a resize while the container was down, the pod catches up with a real change',
  async t => {
    const on = world(resources('150Mi', '300Mi'), resources('40Mi', '96Mi'))
    const node = runtime(on)
    const { uid } = on.cluster.pod('p1').metadata
    on.cluster.kubelet?.kill(uid, 'main', { reason: 'OOMKilled', exitCode: 137 })
    await on.clock.advance(100)
    const resized = (requests: string, limits: string) => ({
      spec: {
        containers: [
          {
            name: 'main',
            resources: { requests: { memory: requests }, limits: { memory: limits } },
          },
        ],
      },
    })
    await on.patch(resized('200Mi', '500Mi'))
    await on.clock.advance(2_000)
    t.equal(node.container('main').limitBytes, 500 * MiB)
    t.equal(node.limitBytes, 396 * MiB, 'less than its containers')
    t.strictSame(watched(on.cluster.pod('p1')).conditions, [], 'and nothing is said')
    await on.patch(resized('200Mi', '500Mi'))
    await on.clock.advance(75_000)
    t.equal(node.limitBytes, 396 * MiB, 'the same values again change nothing')
    await compare(t, on, '34-resize-after-pod-cgroup-stale')
  },
)
