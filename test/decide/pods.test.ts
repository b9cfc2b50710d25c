/** Goal: the load in pods is right whatever this pod happens to run. Method: timelines, and fleets by arithmetic. */
import t from 'tap'
import { emptyMemory } from '../../src/decide/memory.ts'
import { Container, MIB } from './container.ts'
import { most, near } from './loads.ts'
import { leftAlone, World } from './world.ts'

t.test('it tells the load, not the workers that run', t => {
  const few = new World(1)
  const many = new World(8)
  for (const world of [few, many]) {
    world.policy = { ...world.policy, scale: true, holdMs: 600_000 }
    world.rate = 20
    world.run(40)
    near(t, world.podDemand, 20 / most(8), 'of 8 usable workers')
  }
  t.equal(few.podDemand, many.podDemand)
  t.not(few.ready, many.ready)
  t.end()
})

t.test('it is not clipped to what the pod can take', t => {
  const world = new World()
  world.rate = 400
  world.run(40)
  t.equal(world.last.reason, 'at_maximum')
  t.ok((world.podDemand ?? 0) > 5, `${world.podDemand}`)
  t.end()
})

t.test('a queue adds to it, by what must be worked off until a pod is there', t => {
  const world = new World()
  world.policy = { ...world.policy, maxWorkers: 1 }
  world.rate = 12
  world.run(90)
  const [waiting, arrivals] = [world.last.inputs.waiting ?? 0, 12 / most(1)]
  t.ok(waiting > 150)
  near(t, world.podDemand, arrivals * (1 + waiting / 120 / 12), 'so much in the two minutes')
  world.run(900)
  near(t, world.podDemand, 2 * arrivals, 'but never more than the arrivals themselves')
  t.end()
})

t.test('at the knee fewer workers are usable, and the rest is for other pods', t => {
  const world = new World()
  // The device serves two at a time.
  world.serviceMs = busy => 100 * Math.max(1, busy / 2)
  world.rate = 30
  world.run(90)
  t.ok(world.last.inputs.knee !== null)
  t.equal(world.last.inputs.usable, world.last.inputs.knee)
  t.ok((world.podDemand ?? 0) > 1)
  t.end()
})

function inPod(rate: number) {
  const world = new World()
  const container = new Container({ requestMib: 441 })
  world.container = container
  world.memoryPolicy = { ...leftAlone, maxMemory: 4_000 * MIB, inPod: true }
  world.rate = rate
  return { world, container }
}

t.test('a refused resize takes usable workers away, and the load goes to pods', t => {
  for (const answer of ['deferred', 'infeasible', 'quota', 'rbac'] as const) {
    const { world, container } = inPod(20)
    container.answer = answer
    world.run(60)
    t.equal(world.last.inputs.memoryMost, 1, answer)
    t.ok((world.podDemand ?? 0) > 0.98 * (20 / most(1)), `${answer}: ${world.podDemand}`)
    t.match(world.last, { reason: 'at_memory', inputs: { usable: 1 } }, answer)
  }
  const { world } = inPod(20)
  world.run(60)
  t.equal(world.last.inputs.usable, 8)
  near(t, world.podDemand, 20 / most(8), 'granted')
  t.end()
})

t.test('a limit stands for pods until it is passed, not until it may be tried again', t => {
  for (const answer of ['deferred', 'quota', 'rbac'] as const) {
    const { world, container } = inPod(20)
    container.answer = answer
    world.run(60)
    world.rate = 0.1
    container.answer = 'granted'
    world.run(3 * 3600)
    t.equal(world.last.inputs.usable, 1, `${answer}: nobody has asked again`)
    world.rate = 20
    world.run(120)
    t.equal(world.last.inputs.usable, 8, `${answer}: asked for, and granted`)
  }
  const world = new World()
  world.serviceMs = busy => 100 * Math.max(1, busy / 2)
  world.rate = 30
  world.run(90)
  const knee = world.last.inputs.usable
  world.rate = 0.1
  world.serviceMs = () => 100
  world.run(3 * 3600)
  t.equal(world.last.inputs.usable, knee, 'the knee')
  world.rate = 60
  world.run(120)
  t.equal(world.last.inputs.usable, 8, 'more workers did more')
  const failing = new World()
  failing.loadsFail = true
  failing.rate = 20
  failing.run(60)
  t.equal(failing.last.inputs.usable, 1)
  failing.loadsFail = false
  failing.rate = 0.1
  failing.run(3 * 3600)
  t.equal(failing.last.inputs.usable, 1, 'loads that failed')
  failing.rate = 20
  failing.run(120)
  t.equal(failing.last.inputs.usable, 8)
  t.end()
})

t.test('an API server that cannot be asked for a moment moves no pods', t => {
  const { world, container } = inPod(5)
  world.run(40)
  const before = world.podDemand
  container.apiReachable = false
  world.run(40)
  t.equal(world.podDemand, before)
  t.end()
})

t.test('workers of which the cost is not known cannot be added', t => {
  const { world } = inPod(0)
  world.usesVisible = false
  world.run(60)
  t.equal(world.last.inputs.workerBytes, null)
  t.equal(world.last.inputs.memoryMost, 1)
  t.equal(world.last.inputs.usable, 1, 'the one that is there')
  world.policy = { ...world.policy, workerMemory: 100 * MIB }
  world.run(2)
  t.equal(world.last.inputs.workerBytes, 100 * MIB)
  t.equal(world.last.inputs.usable, 8)
  t.end()
})

t.test(
  'an agent that starts anew beside a TorchServe that has served for long tells the load as it is',
  t => {
    const world = new World()
    world.rate = 20
    world.run(900)
    const before = world.podDemand ?? NaN
    world.memory = emptyMemory
    world.run(1)
    t.equal(world.podDemand, undefined, 'one look at the counters is no rate')
    for (let second = 0; second < 90; second++) {
      world.run(1)
      const told = world.podDemand ?? before
      t.ok(Math.abs(told - before) < 0.1 * before, `${second} s: ${told}, ${before} before`)
    }
    near(t, world.podDemand, before, 'and it is known again')
    world.restart(3)
    world.run(1)
    t.ok((world.podDemand ?? 0) <= 1.1 * before, 'nor do counters that begin at 0 make it jump')
    t.end()
  },
)

t.test('what is not known is not told', t => {
  const world = new World()
  world.rate = 20
  world.run(40)
  world.metricsReadable = false
  world.run(1)
  t.equal(world.podDemand, undefined)
  t.equal(world.last.inputs.podDemand, null)
  const sequences = new World()
  sequences.description = { refusal: 'stateful' }
  sequences.rate = 20
  sequences.run(40)
  t.equal(sequences.podDemand, undefined, 'requests of a sequence do not tell the load')
  const fixed = new World(3)
  fixed.policy = { ...fixed.policy, scale: false }
  fixed.rate = 20
  fixed.run(40)
  near(t, fixed.podDemand, 20 / most(3), 'a pool that is not scaled has what it has')
  t.end()
})

t.test('an agent that only advises has the workers that it has', t => {
  const world = new World()
  world.outcome = 'advised'
  world.rate = 20
  world.run(40)
  t.equal(world.last.inputs.usable, 8, 'so many it would come to')
  t.ok((world.podDemand ?? 0) >= 20 / most(1), `${world.podDemand}`)
  world.rate = 0.9 * most(1)
  world.run(600)
  near(t, world.podDemand, 0.9, 'of the one worker')
  t.end()
})

t.test('a first request that takes long is a load not known, and neither none nor endless', t => {
  const world = new World()
  world.run(10)
  t.equal(world.podDemand, 0)
  world.serviceMs = () => 1e9
  world.requests = 1
  for (let second = 1; second <= 50; second++)
    t.equal(world.run(1).podDemand, undefined, `after ${second} s`)
  t.end()
})

t.test('requests that take much longer or shorter than before are told as they are', t => {
  const full = new World()
  full.rate = 10
  full.run(300)
  full.serviceMs = () => 1_000
  for (let second = 0; second < 1_200; second++) {
    full.run(1)
    full.pending = Math.min(full.pending, 100)
  }
  t.equal(full.last.reason, 'at_maximum')
  t.ok((full.podDemand ?? 0) > 10 / (most(8) / 10), `its queue is full, at ${full.podDemand}`)
  const idle = new World()
  idle.rate = 5
  idle.serviceMs = () => 1_000
  idle.run(300)
  idle.rate = 1
  idle.serviceMs = () => 50
  idle.run(300)
  near(t, idle.podDemand, 1 / (most(8) * 2), 'too few of them to learn anew')
  t.end()
})

t.test('the sum is the same however the load is spread', t => {
  const told = (rate: number) => {
    const world = new World()
    world.rate = rate
    return world.run(40).podDemand ?? NaN
  }
  near(t, told(54), 54 / most(8), 'in one pod')
  near(t, told(27) + told(27), 54 / most(8), 'in halves')
  near(t, told(4) + told(20) + told(30), 54 / most(8), 'unevenly')
  t.end()
})

t.test('a new pod that takes over a part of the load adds nothing to the sum', t => {
  const old = new World()
  old.rate = 40
  old.run(60)
  const before = old.podDemand ?? NaN
  const young = new World()
  young.run(3)
  old.rate = 20
  young.rate = 20
  for (let second = 1; second <= 60; second++) {
    const sum = (old.run(1).podDemand ?? NaN) + (young.run(1).podDemand ?? 0)
    t.ok(sum < 1.1 * before, `${sum} after ${second} s, ${before} before`)
  }
  t.end()
})

t.test('a knee below the minimum takes no worker from it', t => {
  const world = new World(3)
  world.serviceMs = busy => 55 * Math.max(1, busy * 0.9)
  world.rate = 10
  world.run(20)
  world.rate = 60
  world.run(90)
  t.ok((world.last.inputs.knee ?? 9) < 6, 'a knee was found')
  world.policy = { ...world.policy, minWorkers: 6 }
  world.run(2)
  t.equal(world.last.inputs.usable, 6)
  t.end()
})
