/** Timelines of load, workers and memory. */
import t from 'tap'
import { MIB } from './container.ts'
import { need, setUp } from './pod-world.ts'
import type { World } from './world.ts'

/** Sentences that do not end in one full stop. */
function badlyEnded({ decisions, resizes }: World): string[] {
  const said = [...decisions, ...resizes].map(({ because }) => because)
  return said.filter(because => because.includes('..') || !because.endsWith('.'))
}

t.test('memory is raised before workers start and lowered after they have gone', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  world.rate = 5
  world.run(30)
  t.same(world.memoryStory.length, 1, 'for the second worker')
  world.rate = 60
  world.run(20)
  t.equal(world.ready, 8)
  const last = world.memoryStory.at(-1)
  t.match(last, new RegExp(`:${need(8)}/${need(8)} more_workers$`))
  t.equal(container.cgroup.limitBytes, need(8) * MIB)
  world.rate = 5
  world.run(150)
  t.equal(world.ready, 2)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: need(2) * MIB })
  t.ok(world.memoryStory.slice(-1)[0]?.endsWith('fewer_workers'))
  t.equal(world.lastResize.reason, 'fits')
  t.end()
})

t.test('a worker starts only once its memory is there', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  container.answer = 'silent'
  world.rate = 10
  world.run(10)
  t.equal(world.ready, 1)
  t.equal(world.last.reason, 'memory')
  t.match(world.last.because, /First the memory for 2 workers: 550 MiB in all/)
  t.equal(world.lastResize.reason, 'confirming')
  container.answer = 'granted'
  world.run(8)
  t.equal(world.ready, 3)
  t.end()
})

t.test('memory that is being given back holds no new worker, seen or not', t => {
  const { world, container } = setUp({ requestMib: need(4) })
  world.rate = 5
  while (world.memoryStory.length === 0) world.run(1)
  t.match(world.memoryStory, [/ fewer_workers$/])
  container.answer = 'silent'
  world.rate = 60
  world.run(4)
  t.equal(container.cgroup.limitBytes, need(4) * MIB, 'nobody has lowered it yet')
  t.equal(world.workers.length, 2)
  t.equal(world.last.reason, 'memory')
  container.answer = 'granted'
  world.run(10)
  t.equal(world.ready, 8)
  t.end()
})

for (const answer of ['deferred', 'infeasible', 'silent'] as const) {
  t.test(`a raise that is ${answer} is taken back, remembered, and tried again later`, t => {
    const { world, container } = setUp({ requestMib: need(1) })
    container.answer = answer
    world.rate = 10
    world.run(90)
    const before = { requestBytes: need(1) * MIB, limitBytes: need(1) * MIB }
    t.same(container.desired, before, 'the wish blocks nobody')
    t.equal(world.ready, 1)
    t.equal(world.last.reason, 'at_memory')
    t.match(
      world.last.because,
      answer === 'silent' ? /the kubelet has not acted for 6\d s/ : /node didn’t have enough/,
    )
    t.equal(world.memoryStory.length, 2, 'asked once')
    container.answer = 'granted'
    world.run(600)
    t.equal(world.ready, 3, 'and given in time')
    t.end()
  })
}

t.test('a deferred raise that is granted within seconds is waited for', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  container.answer = 'deferred'
  world.rate = 10
  world.run(8)
  t.match(world.lastResize.because, /the kubelet says Deferred/)
  container.answer = 'granted'
  world.run(10)
  t.equal(world.ready, 3)
  t.same(
    world.memoryStory.map(line => line.split(' ')[1]),
    ['more_workers', 'more_workers'],
  )
  t.end()
})

t.test('where the node has no room for all of it, the workers come that fit', t => {
  for (const above of [0, 100]) {
    const { world, container } = setUp({
      requestMib: need(1),
      limitMib: need(1) + above,
      qosClass: above === 0 ? 'Guaranteed' : 'Burstable',
    })
    container.grantedUpToMib = need(3) + 50
    world.rate = 60
    world.run(45)
    t.equal(world.ready, 3)
    t.equal(container.desired.requestBytes, need(3) * MIB)
    t.match(world.last.because, /node didn’t have enough/)
    const back = world.memoryStory.filter(line => line.endsWith('taken_back'))
    t.equal(back.length, 1)
    t.ok((world.podDemand ?? 0) > 1)
  }
  t.end()
})

t.test('a quota that says how much it has is used up to that', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  container.quotaMib = need(4)
  world.rate = 60
  world.run(40)
  t.equal(world.ready, 4)
  t.equal(world.last.reason, 'at_memory')
  t.match(world.last.because, /RESIZE_QUOTA/)
  t.equal(world.lastResize.inputs.ceiling, need(4) * MIB)
  t.end()
})

t.test('a LimitRange, which speaks of the limit, is used up to what it allows', t => {
  for (const above of [0, 100]) {
    const { world, container } = setUp({
      requestMib: need(1),
      limitMib: need(1) + above,
      qosClass: above === 0 ? 'Guaranteed' : 'Burstable',
    })
    container.mostLimitMib = need(4) + above
    world.rate = 60
    world.run(40)
    t.equal(world.ready, 4)
    t.match(world.last.because, /RESIZE_LIMIT_RANGE/)
  }
  t.end()
})

t.test('the cap is the most that is asked for', t => {
  const { world, container } = setUp({ requestMib: need(1) }, need(3))
  world.rate = 60
  world.run(60)
  t.equal(world.ready, 3)
  t.equal(world.last.reason, 'at_memory')
  t.match(
    world.last.because,
    /one worker more needs 77\d MiB and the container has 660 MiB; the cap is 660 MiB\./,
  )
  t.equal(container.desired.limitBytes, need(3) * MIB)
  t.end()
})

t.test('where memory cannot be changed, workers scale within it', t => {
  for (const [answer, why] of [
    ['rbac', /RESIZE_RBAC/],
    ['quota', /RESIZE_QUOTA/],
  ] as const) {
    const { world, container } = setUp({ requestMib: need(3) })
    container.answer = answer
    world.rate = 60
    world.run(60)
    t.equal(world.ready, 3, answer)
    t.equal(world.last.reason, 'at_memory')
    t.match(world.last.because, why)
    t.same(badlyEnded(world), [])
  }
  const { world } = setUp({ requestMib: need(2) })
  world.memoryPolicy = { ...world.memoryPolicy, maxMemory: undefined }
  world.rate = 60
  world.run(30)
  t.equal(world.ready, 2, 'without a cap')
  t.match(world.last.because, /no cap is set \(STOKER_MAX_MEMORY\)/)
  t.same(world.memoryStory, [])
  t.equal(world.lastResize.reason, 'unsupported')
  t.end()
})

t.test('Burstable: the limit keeps its distance, or stays', t => {
  const options = { requestMib: need(1), limitMib: need(1) + 500, qosClass: 'Burstable' } as const
  const follows = setUp(options)
  follows.world.rate = 30
  follows.world.run(60)
  const most = need(follows.world.ready)
  t.ok(follows.world.ready > 4)
  t.same(follows.container.desired, { requestBytes: most * MIB, limitBytes: (most + 500) * MIB })

  const stays = setUp(options)
  stays.world.memoryPolicy = { ...stays.world.memoryPolicy, memoryLimit: 'keep' }
  stays.world.rate = 10
  stays.world.run(30)
  t.equal(stays.world.ready, 3)
  const limitBytes = options.limitMib * MIB
  t.same(stays.container.desired, { requestBytes: need(3) * MIB, limitBytes })
  stays.world.rate = 60
  stays.world.run(60)
  t.ok((stays.container.desired.limitBytes ?? 0) > limitBytes, 'unless workers need more')
  t.ok((stays.container.desired.limitBytes ?? 0) > (stays.container.desired.requestBytes ?? 0))

  const open = setUp({ ...options, limitMib: undefined })
  open.world.rate = 30
  open.world.run(60)
  t.same(open.container.desired, { requestBytes: most * MIB, limitBytes: undefined })

  const capped = setUp(options, need(4))
  capped.world.rate = 60
  capped.world.run(60)
  t.equal(capped.world.ready, 3, 'the request stays below the limit, which is at the cap')
  t.equal(capped.world.last.reason, 'at_memory')
  t.end()
})

t.test('a call that failed on its way is looked into: written or not, the workers come', t => {
  const answers = [
    'timeout, written',
    'timeout, lost',
    'untrusted',
    'no token',
    'no Kubernetes',
  ] as const
  for (const answer of answers) {
    const { world, container } = setUp({ requestMib: need(1) })
    container.answer = answer
    world.rate = 10
    world.run(4)
    container.answer = 'granted'
    world.run(20)
    t.equal(world.ready, 3, answer)
    t.equal(world.memoryStory.length, answer === 'timeout, written' ? 2 : 3, answer)
  }
  t.end()
})

t.test('what somebody else sets is left alone for a while, a VPA’s pod for good', t => {
  const { world, container } = setUp({ requestMib: need(2) })
  world.rate = 5
  world.run(10)
  container.write({ requestBytes: 900 * MIB, limitBytes: 900 * MIB }, world.nowMs)
  container.state.peers = [{ name: 'kubectl-patch', wroteAtMs: world.nowMs }]
  world.run(30)
  t.equal(container.desired.limitBytes, 900 * MIB)
  t.equal(world.lastResize.reason, 'peer')
  t.ok(
    world.resizes.some(({ because }) =>
      /kubectl-patch set 900 MiB where 550 MiB was expected/.test(because),
    ),
  )
  world.run(60)
  t.equal(container.desired.limitBytes, need(2) * MIB)

  container.state.peers = [{ name: 'vertical-pod-autoscaler', wroteAtMs: undefined }]
  world.rate = 60
  world.run(60)
  t.equal(container.desired.limitBytes, need(2) * MIB)
  t.equal(world.ready, 2)
  t.match(world.last.because, /vertical-pod-autoscaler/)
  t.end()
})

t.test('an API server that cannot be asked stops no worker that fits', t => {
  const { world, container } = setUp({ requestMib: need(3) })
  world.rate = 2
  world.run(5)
  container.apiReachable = false
  world.rate = 60
  world.run(40)
  t.equal(world.ready, 3)
  t.equal(world.last.reason, 'at_memory')
  t.match(world.last.because, /KUBERNETES_UNREACHABLE/)
  t.same(badlyEnded(world), [])
  t.equal(world.lastResize.reason, 'memory_stale')
  t.end()
})

t.test('an API server that is long away is no leave to take what the node has', t => {
  const demand = [1_000, 11 * 60_000].map(apiAwayMs => {
    const { world, container } = setUp({
      requestMib: need(3),
      limitMib: undefined,
      qosClass: 'Burstable',
    })
    world.rate = 2
    world.run(5)
    Object.assign(container, { apiReachable: false, apiAwayMs })
    world.rate = 60
    world.run(60)
    t.equal(world.ready, 3)
    t.match(world.last, { reason: 'at_memory', because: /KUBERNETES_UNREACHABLE/ })
    return world.podDemand ?? 0
  })
  t.ok(Number(demand[1]) > 2 * Number(demand[0]), 'and no memory is counted on that cannot come')
  t.end()
})

t.test('what is in use rises and falls by little all the time, and nothing is sent for it', t => {
  const { world, container } = setUp({ requestMib: need(2) })
  world.rate = 5
  world.run(20)
  t.same(world.memoryStory, [])
  for (let i = 0; i < 60; i++) {
    container.baseMib = 300 + (i % 12)
    world.run(1)
  }
  t.same(world.memoryStory, [])
  container.baseMib = 340
  world.run(10)
  t.equal(world.memoryStory.length, 1, 'but for much')
  t.equal(container.desired.limitBytes, Math.ceil(1.1 * 540) * MIB)
  t.end()
})

t.test('an outage of the API server is no time in which the kubelet did not act', t => {
  const { world, container } = setUp({ requestMib: need(1) })
  world.rate = 10
  while (world.memoryStory.length === 0) world.run(1)
  container.answer = 'silent'
  container.apiReachable = false
  world.run(3_600)
  container.apiReachable = true
  world.run(2)
  container.answer = 'granted'
  world.run(20)
  t.equal(world.ready, 3)
  t.notOk(
    world.memoryStory.some(line => line.endsWith('taken_back')),
    'the raise is waited for',
  )
  t.end()
})
