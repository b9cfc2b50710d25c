/** What workers and TorchServe itself need: learned, declared, or not known. */
import t from 'tap'
import { largest } from '../../src/decide/window.ts'
import { newPod, takeInPod, type PoolUse } from '../../src/decide/pod.ts'
import { Container, MIB } from './container.ts'
import { need, setUp } from './pod-world.ts'
import { leftAlone } from './world.ts'

t.test('what a worker needs is learned, and declared until then', t => {
  const { world, container } = setUp({ requestMib: 1_000 })
  container.cgroupVisible = false
  world.usesVisible = false
  world.run(20)
  t.equal(world.lastResize.reason, 'memory_unknown')
  world.rate = 60
  world.run(20)
  // Until then one needs no more than all that the container had for one.
  t.equal(world.ready, 4)
  t.equal(container.desired.limitBytes, 4_000 * MIB)
  t.match(world.last, { reason: 'at_memory', because: /one worker more needs 5000 MiB/ })
  t.equal(world.last.inputs.workerBytes, null)
  world.policy = { ...world.policy, workerMemory: 200 * MIB }
  world.run(20)
  t.equal(world.ready, 8)
  // The pod's 1000 MiB held one worker of 200 and a base of 709 with a tenth over both.
  t.equal(world.lastResize.inputs.need, Math.ceil(1.1 * (1_000 / 1.1 + 7 * 200)) * MIB)
  t.end()
})

t.test('what a worker can need at most does not creep, and is not believed of fewer workers', t => {
  const { world, container } = setUp({ requestMib: 600, limitMib: 1_000, qosClass: 'Burstable' })
  container.cgroupVisible = false
  world.usesVisible = false
  world.rate = 5
  world.run(30)
  t.equal(world.ready, 2)
  t.match(
    world.decisions.find(({ reason }) => reason === 'memory')?.because,
    /2 workers: 2000 MiB in all, by the most that one can need/,
  )
  t.same(container.desired, { requestBytes: 2_000 * MIB, limitBytes: 2_400 * MIB })
  world.rate = 15
  world.run(30)
  t.equal(world.ready, 3, 'the cap holds no fourth')
  t.equal(container.desired.requestBytes, 3_000 * MIB)
  world.rate = 0.1
  world.run(200)
  t.equal(world.ready, 1)
  t.ok((container.desired.limitBytes ?? 0) >= 1_000 * MIB, 'what was enough for one stays')
  t.ok((container.desired.requestBytes ?? 0) <= 1_000 * MIB, 'and the rest is given back')
  t.end()
})

t.test('without a limit the request is what the first workers had, and follows', t => {
  const { world, container } = setUp({
    requestMib: 600,
    limitMib: undefined,
    qosClass: 'Burstable',
  })
  container.cgroupVisible = false
  world.usesVisible = false
  world.rate = 20
  world.run(60)
  t.equal(world.ready, 4)
  t.same(container.desired, { requestBytes: 2_400 * MIB, limitBytes: undefined })
  world.rate = 0.1
  world.run(300)
  t.equal(world.ready, 1)
  t.same(container.desired, { requestBytes: 600 * MIB, limitBytes: undefined })
  t.end()
})

t.test('a worker whose process is not seen yet is not taken for a part of TorchServe', t => {
  const { world } = setUp({ requestMib: need(1) })
  world.usesVisible = false
  world.rate = 5
  world.run(2)
  t.equal(world.lastResize.inputs.base, null)
  world.usesVisible = true
  world.run(2)
  t.equal(world.lastResize.inputs.base, 300 * MIB)
  world.usesVisible = false
  world.run(2)
  t.equal(world.lastResize.inputs.base, 300 * MIB)
  t.end()
})

t.test('what is there is kept until it has been seen what workers need that serve', t => {
  const { world, container } = setUp({ requestMib: 1_000 })
  world.readable = false
  container.baseMib = 20
  world.run(20)
  t.same(world.memoryStory, [], 'TorchServe is only starting')
  t.equal(world.lastResize.inputs.base, null)
  world.readable = true
  container.baseMib = 300
  world.run(20)
  t.same(world.memoryStory, [], 'nobody has asked it anything')
  t.equal(world.lastResize.reason, 'memory_unknown')
  t.match(world.lastResize.because, /kept until every model has answered a request/)
  world.rate = 5
  world.run(20)
  t.equal(container.desired.limitBytes, need(world.ready) * MIB)
  t.end()
})

t.test('what is held for one look only, as by a worker that is dying, is not TorchServe’s', t => {
  const { world, container } = setUp({ requestMib: need(2) })
  world.rate = 5
  world.run(10)
  for (const seconds of [1, 20]) {
    container.baseMib = 550
    world.run(1)
    container.baseMib = 300
    world.run(seconds)
    t.equal(world.lastResize.inputs.base, 300 * MIB)
  }
  t.same(world.memoryStory, [])
  container.baseMib = 400
  world.run(3)
  t.equal(world.lastResize.inputs.base, 400 * MIB, 'what stays is')
  t.end()
})

t.test('a process killed for want of memory teaches a larger margin', t => {
  const { world, container } = setUp({ requestMib: need(2) })
  world.rate = 5
  world.run(10)
  container.cgroup = { ...container.cgroup, oomKills: 1 }
  world.run(10)
  t.equal(container.desired.limitBytes, 1.2 * 500 * MIB)
  t.end()
})

t.test('workers of a model that is described only later are not counted twice', t => {
  const container = new Container({ requestMib: 1_700 })
  container.sync(0, 900 * MIB)
  const described = { state: 'absent', why: 'of no matter here' } as const
  const pools = ['a', 'b'].map(key => ({ key, description: described, counters: described }))
  const torchserve = { state: 'fresh', value: { url: 'http://127.0.0.1:8081' }, atMs: 0 } as const
  const use = (key: string, usedMib: number): PoolUse => ({
    key,
    cost: usedMib * MIB,
    workers: 1,
    kept: 1,
    used: usedMib * MIB,
    isSure: true,
  })
  const look = (before: typeof newPod, uses: PoolUse[], atMs: number) => {
    const seen = { pod: container.seen(atMs), pools, torchserve, resized: undefined }
    return takeInPod(before, seen, uses, leftAlone, atMs)
  }
  const [a, b] = [use('a', 100), use('b', 800)]
  const early = look(look(newPod, [a], 1_000), [a], 2_000)
  t.equal(largest(early.base), 1_100 * MIB, 'as long as nobody knows whose it is')
  const later = look(early, [a, b], 3_000)
  t.equal(largest(later.base), 300 * MIB)
  t.end()
})
