/** Limits that are lowered, and those that cannot be. */
import t from 'tap'
import type { PodState } from '../../src/model.ts'
import { MIB, type Container } from './container.ts'
import { need, setUp } from './pod-world.ts'

t.test('a lower limit that the kubelet refuses is withdrawn, and the request stays low', t => {
  const { world, container } = setUp({ requestMib: 1_000, limitMib: 1_200, qosClass: 'Burstable' })
  container.answer = 'refused decrease'
  world.rate = 5
  world.run(60)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: 1_200 * MIB })
  t.equal(world.memoryStory.filter(line => line.endsWith('taken_back')).length, 1)
  container.answer = 'granted'
  world.run(60)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: (need(2) + 200) * MIB })
  t.end()
})

t.test('a limit is not lowered to what is in use, cache included, nor without knowing that', t => {
  const { world, container } = setUp({ requestMib: 2_000 })
  container.cacheMib = 800
  world.rate = 5
  world.run(30)
  const used = 300 + 200 + 800
  t.ok((container.desired.limitBytes ?? 0) > 1.05 * used * MIB)
  t.ok((container.desired.limitBytes ?? 0) < 2_000 * MIB)
  t.notOk(world.memoryStory.some(line => line.endsWith('taken_back')))

  const blind = setUp({ requestMib: 2_000 })
  blind.container.cgroupVisible = false
  blind.world.rate = 5
  blind.world.run(60)
  t.notOk(blind.world.memoryStory.some(line => line.endsWith('fewer_workers')))
  t.end()
})

t.test('a limit that stays although less would do says why', t => {
  const stays = (change: (container: Container) => void, qosClass: PodState['qosClass']) => {
    const requestMib = qosClass === 'Guaranteed' ? 2_000 : 1_900
    const { world, container } = setUp({ requestMib, limitMib: 2_000, qosClass })
    change(container)
    world.rate = 20
    world.run(60)
    const { limitBytes } = container.desired
    world.rate = 0.1
    world.run(200)
    t.equal(container.desired.limitBytes, limitBytes)
    t.equal(world.lastResize.reason, 'limit_kept')
    return world.lastResize.because
  }
  const unseen = stays(container => (container.cgroupVisible = false), 'Guaranteed')
  t.match(
    unseen,
    /stays \d+ MiB above need: what is in use is not seen without stoker.dev\/share-processes\.$/,
  )
  const cached = stays(container => (container.cacheMib = 1_600), 'Guaranteed')
  t.match(cached, /2000 MiB are in use, cached files included/)
  const old = stays(container => (container.answer = 'limit rule'), 'Burstable')
  t.match(old, /this Kubernetes lowers none without a restart/)
  const refused = stays(container => (container.answer = 'refused decrease'), 'Burstable')
  t.match(refused, /the kubelet .*; again in \d+ s\.$/)
  t.end()
})

t.test('Kubernetes 1.33: of a refused raise the request is taken back, which holds room', t => {
  const { world, container } = setUp({
    requestMib: need(2),
    limitMib: need(2) + 100,
    qosClass: 'Burstable',
  })
  world.rate = 5
  world.run(10)
  container.answer = 'limit rule'
  container.grantedUpToMib = need(2)
  world.rate = 60
  world.run(25)
  t.equal(container.desired.requestBytes, need(2) * MIB)
  t.equal(container.state.pending, undefined, 'nothing is wished for any more')
  t.notOk(
    world.memoryStory.some(line => line.includes('expected')),
    'nobody else is blamed',
  )
  t.ok((world.last.inputs.podDemand ?? 0) > 1)
  t.end()
})

t.test('Kubernetes 1.33: limits only rise', t => {
  const { world, container } = setUp({ requestMib: 1_000, limitMib: 1_200, qosClass: 'Burstable' })
  container.answer = 'limit rule'
  world.rate = 5
  world.run(60)
  t.same(container.desired, { requestBytes: need(2) * MIB, limitBytes: 1_200 * MIB })
  t.end()
})

t.test('a refusal that stands while going back fails is one, and forgotten as one', t => {
  const { world, container } = setUp({ requestMib: 1_000 })
  container.answer = 'refused decrease'
  world.rate = 5
  world.run(12)
  t.equal(container.desired.limitBytes, need(2) * MIB, 'a lower limit is asked for')
  container.quotaMib = need(2)
  world.run(40)
  t.ok(world.memoryStory.filter(line => line.endsWith('taken_back')).length > 1, 'in vain')
  container.quotaMib = Infinity
  world.run(5)
  t.equal(container.desired.limitBytes, 1_000 * MIB, 'back')
  container.answer = 'granted'
  world.run(35)
  t.equal(container.desired.limitBytes, need(2) * MIB, 'a minute after the refusal it is lowered')
  t.end()
})

t.test('memory is lowered to the least that a LimitRange allows, and asked for once', t => {
  for (const above of [0, 100]) {
    const { world, container } = setUp({
      requestMib: 1_000,
      limitMib: 1_000 + above,
      qosClass: above === 0 ? 'Guaranteed' : 'Burstable',
    })
    container.leastRequestMib = 700
    world.rate = 5
    world.run(60)
    t.same(container.desired, { requestBytes: 700 * MIB, limitBytes: (700 + above) * MIB })
    const refused = `${need(2)}/${need(2) + above} fewer_workers`
    t.same(
      world.memoryStory.map(line => line.split(':')[1]),
      [refused, `700/${700 + above} fewer_workers`],
    )
    t.equal(world.lastResize.reason, 'limit_kept')
    t.match(
      world.lastResize.because,
      /^The request stays 150 MiB above need: .*RESIZE_LIMIT_RANGE\. Change the rule; again in \d+ s\.$/,
    )
    container.leastRequestMib = 0
    world.run(600)
    t.equal(container.desired.requestBytes, need(2) * MIB, 'forgotten with time')
  }
  t.end()
})

t.test('a decrease that is refused keeps nobody from more', t => {
  const { world, container } = setUp({ requestMib: 1_000 })
  container.mayLower = false
  world.rate = 5
  world.run(40)
  t.equal(container.desired.limitBytes, 1_000 * MIB)
  t.equal(world.memoryStory.length, 1)
  t.match(world.lastResize.because, /RESIZE_POLICY/)
  world.rate = 60
  world.run(15)
  t.equal(world.ready, 8)
  t.end()
})

t.test('what was refused once is not blamed where another limit keeps the memory', t => {
  const { world, container } = setUp({ requestMib: 1_000 })
  container.leastRequestMib = 560
  world.rate = 5
  world.run(60)
  t.equal(container.desired.requestBytes, 560 * MIB)
  world.rate = 60
  world.run(30)
  container.cacheMib = 2_000
  world.rate = 8
  world.run(200)
  t.match(world.lastResize, { reason: 'limit_kept', because: /MiB are in use/ })
  t.end()
})
