/** Memory and a container that goes down: nothing is sent then, and what a pod was left with is set right. */
import t from 'tap'
import { MIB } from './container.ts'
import { need, setUp } from './pod-world.ts'

t.test('nothing is sent while the container is down or the pod is going', t => {
  for (const change of [
    { terminating: true },
    { phase: 'Succeeded' },
    { container: { running: false } },
    { container: { restartsOnResize: true } },
    { qosClass: 'BestEffort' as const },
  ]) {
    const { world, container } = setUp({ requestMib: need(1) })
    const { container: inner, ...outer } = change as { container?: object }
    Object.assign(container.state, outer)
    Object.assign(container.state.container, inner)
    world.rate = 30
    world.run(30)
    t.same(world.memoryStory, [], JSON.stringify(change))
    t.equal(world.ready, 1)
    t.equal(world.last.reason, 'at_memory')
  }
  t.end()
})

t.test('a container that went down around a resize is healed by the smallest change', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  world.rate = 10
  world.run(2)
  t.equal(world.memoryStory.length, 1)
  container.state.container.restartCount++
  world.run(1)
  t.match(world.last, { reason: 'at_memory', because: /may have kept an older limit/ })
  world.run(9)
  const healed = world.memoryStory.find(line => line.endsWith('healing'))
  t.match(healed, new RegExp(`:${need(2) + 1}/${need(2) + 1} healing`))
  t.equal(world.memoryStory.filter(line => line.endsWith('healing')).length, 1)
  t.equal(world.ready, 3)
  t.end()
})

t.test('while a wish has no answer there is no other, even if the container restarts', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  container.apiHangs = true
  world.rate = 10
  while (container.asked.length === 0) world.run(1)
  const { container: inner } = container.state
  inner.running = false
  world.run(2)
  Object.assign(inner, { running: true, restartCount: 1 })
  world.run(3)
  t.equal(container.asked.length, 1)
  container.apiHangs = false
  container.answerFirst(world.nowMs)
  world.run(20)
  t.equal(world.ready, 3)
  const reasons = new Set(world.resizes.map(({ reason }) => reason))
  t.ok(reasons.has('healing'))
  t.notOk(reasons.has('peer'), 'what it did is nobody else’s doing')
  t.end()
})

t.test(
  'a container that was killed for want of memory may be one that was resized while down',
  t => {
    for (const generation of [1, 2]) {
      const { world, container } = setUp({ requestMib: need(2) })
      container.state.generation = generation
      world.rate = 5
      world.run(10)
      const { container: inner } = container.state
      inner.lastTermination = { reason: 'OOMKilled', exitCode: 137, finishedAtMs: world.nowMs }
      inner.restartCount++
      world.run(10)
      const changes = generation === 1 ? [] : [/ healing$/]
      t.match(world.memoryStory, changes)
      t.equal(world.memoryStory.length, changes.length, `generation ${generation}`)
    }
    t.end()
  },
)

t.test(
  'at the cap it is healed by less, and by no limit that is in use or cannot be lowered',
  t => {
    const settings = { requestMib: need(3), limitMib: need(4), qosClass: 'Burstable' } as const
    const suspect = (maxMib: number, options: Parameters<typeof setUp>[0]) => {
      const set = setUp(options, maxMib)
      const { container } = set.container.state
      set.container.state.generation = 2
      const finishedAtMs = set.world.nowMs
      container.lastTermination = { reason: 'OOMKilled', exitCode: 137, finishedAtMs }
      set.world.rate = 20
      return set
    }
    const burstable = suspect(need(4), settings)
    burstable.container.answer = 'limit rule'
    burstable.world.run(1)
    t.same(burstable.world.memoryStory, [`1:${need(3) - 1}/${need(4)} healing`])

    const guaranteed = suspect(need(3), { requestMib: need(3) })
    guaranteed.world.run(1)
    t.same(guaranteed.world.memoryStory, [`1:${need(3) - 1}/${need(3) - 1} healing`])

    const full = suspect(need(3), { requestMib: need(3) })
    full.container.cacheMib = need(3) - 400
    full.world.run(1)
    t.same(full.world.memoryStory, [], 'a pod that was left behind could not use so much')

    const rising = suspect(need(3), { requestMib: need(3) })
    rising.container.answer = 'limit rule'
    rising.world.run(60)
    t.same(rising.world.memoryStory, [`1:${need(3) - 1}/${need(3) - 1} healing`], 'tried once')
    t.equal(rising.world.ready, 3)
    t.end()
  },
)

t.test('where the agent could set nothing right, workers scale within what is there', t => {
  const vpa = { name: 'vertical-pod-autoscaler', wroteAtMs: undefined }
  for (const [name, change] of Object.entries<(set: ReturnType<typeof setUp>) => void>({
    'no cap': ({ world }) => (world.memoryPolicy = { ...world.memoryPolicy, maxMemory: undefined }),
    BestEffort: ({ container }) => (container.state.qosClass = 'BestEffort'),
    'a VPA': ({ container }) => (container.state.peers = [vpa]),
    restarts: ({ container }) => (container.state.container.restartsOnResize = true),
  })) {
    const { world, container } = setUp({ requestMib: need(4) })
    change({ world, container })
    container.state.generation = 2
    const finishedAtMs = world.nowMs - 1_000
    container.state.container.lastTermination = {
      reason: 'OOMKilled',
      exitCode: 137,
      finishedAtMs,
    }
    world.rate = 60
    world.run(60)
    t.equal(world.ready, 4, name)
    t.same(world.memoryStory, [], name)
  }
  t.end()
})

t.test('a wish of a VPA that waits is no sign of a pod that was left behind', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  container.state.peers = [{ name: 'vertical-pod-autoscaler', wroteAtMs: undefined }]
  container.state.podLimitBytes = need(1) * MIB
  container.answer = 'deferred'
  container.write({ requestBytes: need(4) * MIB, limitBytes: need(4) * MIB }, world.nowMs)
  world.rate = 60
  world.run(5)
  t.equal(world.ready, 1)
  container.answer = 'granted'
  container.state.podLimitBytes = need(4) * MIB
  world.run(60)
  t.equal(world.ready, 4)
  t.end()
})

t.test('what an agent before this one raised counts up to the limit that the pod really has', t => {
  const { world, container } = setUp({ requestMib: need(4) })
  container.state.podLimitBytes = need(1) * MIB
  container.answer = 'silent'
  container.write({ requestBytes: (need(4) + 1) * MIB, limitBytes: (need(4) + 1) * MIB }, 0)
  world.rate = 60
  world.run(15)
  t.equal(world.ready, 1)
  t.end()
})

t.test('a pod that shows an older limit although it was healed is not healed each second', t => {
  const { world, container } = setUp({ requestMib: need(4) })
  container.state.podLimitBytes = need(1) * MIB
  world.rate = 60
  world.run(55)
  t.equal(world.memoryStory.filter(line => line.includes('healing')).length, 1)
  t.equal(world.ready, 1)
  container.state.podLimitBytes = undefined
  world.run(60)
  t.ok(world.ready > 1)
  t.end()
})

t.test('a wish that an agent before this one left refused is taken back', t => {
  const { world, container } = setUp({ requestMib: need(2) })
  container.answer = 'deferred'
  container.write({ requestBytes: 3_000 * MIB, limitBytes: 3_000 * MIB }, world.nowMs)
  world.rate = 5
  world.run(3)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: need(2) * MIB })
  t.end()
})

t.test('a raise that an agent before this one left is given back', t => {
  const { world, container } = setUp({ requestMib: 2_000 })
  world.rate = 5
  world.run(20)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: need(2) * MIB })
  t.end()
})
