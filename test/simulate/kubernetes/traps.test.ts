/** What a real kubelet was seen to do wrong, or to leave unsaid; and how the emulation can be steered. */
import t from 'tap'
import { GiB, MiB, world } from './agent.ts'

t.test(
  'a resize before the first start: the container is as asked, its pod is not, and nothing shows it',
  async t => {
    const { kubernetes, during, clock, runtime, use } = await world(t, {}, { startMs: 5_000 })
    const early = await during(kubernetes.read())
    t.match(early.container, { running: false, actual: undefined })
    await during(kubernetes.resize({ requestBytes: 4 * GiB, limitBytes: 8 * GiB }))
    await clock.advance(6_000)
    const seen = await during(kubernetes.read())
    t.match(seen.container, { running: true, actual: { limitBytes: 8 * GiB }, restartCount: 0 })
    t.equal(seen.inProgress, undefined)
    t.equal(seen.podLimitBytes, 8 * GiB + 64 * MiB, 'said')
    t.equal(runtime.limitBytes, 4 * GiB + 64 * MiB, 'and not so')
    use.anonBytes = 5 * GiB
    await clock.advance(300)
    t.match((await during(kubernetes.read())).container, {
      running: false,
      lastTermination: { reason: 'OOMKilled', exitCode: 137 },
    })
  },
)

t.test('on cgroup v1 a process dies of memory, not the container', async t => {
  const { kubernetes, kubelet, during, clock, use } = await world(t, { cgroups: 'v1' })
  const told: string[] = []
  kubelet.onContainer(({ container, what }) => told.push(`${container} ${what}`))
  use.anonBytes = 5 * GiB
  await clock.advance(100)
  use.anonBytes = 1 * GiB
  await clock.advance(1_000)
  t.strictSame(told, ['torchserve oom'])
  t.match((await during(kubernetes.read())).container, { running: true, restartCount: 0 })
})

t.test('a container that is killed again and again waits longer each time', async t => {
  const { kubelet, clock, use } = await world(t)
  const startedMs = clock.now()
  const starts: number[] = []
  kubelet.onContainer(({ what }) => {
    if (what === 'started') starts.push(Math.round((clock.now() - startedMs) / 1000))
  })
  use.anonBytes = 5 * GiB
  await clock.advance(80_000)
  t.strictSame(starts, [1, 11, 31, 71])
})

t.test('files in memory do not kill', async t => {
  const { kubernetes, during, clock, use } = await world(t)
  use.fileBytes = 5 * GiB
  await clock.advance(1_000)
  t.equal((await during(kubernetes.read())).container.restartCount, 0)
})

t.test(
  'the kubelet stops within a resize: what was begun is finished after its next start',
  async t => {
    const { kubernetes, kubelet, during, clock, runtime } = await world(t)
    await during(kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 6 * GiB }))
    while (runtime.limitBytes === 4 * GiB + 64 * MiB) await clock.advance(1)
    kubelet.stop()
    await clock.advance(60_000)
    t.equal(runtime.limitBytes, 6 * GiB + 64 * MiB)
    t.equal(runtime.container('torchserve').limitBytes, 4 * GiB, 'half done')
    kubelet.start()
    await clock.advance(29_000)
    t.equal(runtime.container('torchserve').limitBytes, 4 * GiB, 'still')
    await clock.advance(2_000)
    t.equal(runtime.container('torchserve').limitBytes, 6 * GiB)
    const seen = await during(kubernetes.read())
    t.match(seen, { generation: 2, observedGeneration: 2, inProgress: undefined })
  },
)

t.test(
  'a token is renewed in its file; the old one is refused, and the agent does not notice',
  async t => {
    const { kubernetes, emulation, during } = await world(t)
    await during(kubernetes.read())
    emulation.rotateToken('serving')
    t.equal((await during(kubernetes.read())).terminating, false)
  },
)

t.test('a pod’s token outlives it by ten seconds', async t => {
  const { kubernetes, emulation, during, clock } = await world(t)
  emulation.cluster.delete('serving', { graceMs: 30_000 })
  t.equal((await during(kubernetes.read())).terminating, true)
  await clock.advance(30_000)
  await t.rejects(during(kubernetes.read()), { code: 'RESIZE_POD_GONE' })
  emulation.cluster.create({ name: 'serving', containers: [{ name: 'torchserve' }] })
  await t.rejects(during(kubernetes.read()), { code: 'RESIZE_POD_REPLACED' })
  await clock.advance(10_000)
  await t.rejects(during(kubernetes.read()), { code: 'KUBERNETES_UNAUTHORIZED' })
})

t.test(
  'the node shrinks, and a raise that would have fitted waits; it grows, and it is granted',
  async t => {
    const { kubernetes, emulation, during, clock } = await world(t)
    const { cluster } = emulation
    cluster.create({ name: 'other', containers: [{ name: 'x', requests: { memory: '10Gi' } }] })
    await during(kubernetes.resize({ requestBytes: 5 * GiB, limitBytes: 6 * GiB }))
    await clock.advance(300)
    cluster.setAllocatable({ cpu: '8', memory: '16Gi' })
    await during(kubernetes.resize({ requestBytes: 8 * GiB, limitBytes: 8 * GiB }))
    await clock.advance(300)
    t.match((await during(kubernetes.read())).pending, { reason: 'Deferred' })
    cluster.setAllocatable({ cpu: '8', memory: '32Gi' })
    await clock.advance(1_000)
    t.match((await during(kubernetes.read())).pending, { reason: 'Deferred' }, 'nobody tells it')
    await clock.advance(180_000)
    const granted = await during(kubernetes.read())
    t.match(granted.container.actual, { requestBytes: 8 * GiB }, 'within three minutes')
  },
)
