import t from 'tap'
import { policy, World } from './world.ts'

t.test('a step is answered within two seconds and forgotten only after the hold window', t => {
  const world = new World()
  world.rate = 10
  world.run(20)
  t.equal(world.ready, 3, 'Erlang-C: 10 requests/s of 100 ms and 2 % over 150 ms need 3')
  world.rate = 60
  world.run(2)
  t.equal(world.last.action?.kind ?? world.last.reason, 'loading')
  t.match(world.story.at(-1), /^21:3→\d demand$/)
  world.run(20)
  t.equal(world.ready, 8)
  world.rate = 10
  world.run(59)
  t.equal(world.ready, 8, 'nothing goes within the hold')
  t.equal(world.last.reason, 'hold_window')
  t.match(world.last.because, /8 workers stay, as many as were needed within the last 60 s/)
  world.run(60)
  t.equal(world.ready, 3)
  const downs = world.story.filter(line => line.endsWith('excess'))
  t.same(
    downs.map(line => line.split(':')[1]),
    ['8→7 excess', '7→6 excess', '6→5 excess', '5→4 excess', '4→3 excess'],
  )
  t.end()
})

t.test('workers that get in each other’s way are taken back, and the knee is remembered', t => {
  const world = new World()
  // One lock for all: 18 requests/s with one worker, 20 with four.
  world.serviceMs = busy => 55 * Math.max(1, busy * 0.9)
  world.rate = 25
  world.run(100)
  t.ok(world.ready <= 2, `${world.ready} workers`)
  t.ok(world.last.inputs.knee !== null)
  const settled = world.story.length
  world.run(300)
  t.equal(world.story.length, settled, 'it stays')
  t.equal(world.last.reason, 'at_knee')
  t.match(world.last.because, /served no more than/)
  t.end()
})

t.test('what cannot be read takes nobody away', async t => {
  for (const blind of ['readable', 'metricsReadable'] as const) {
    const world = new World(5)
    world.rate = 10
    world.run(100)
    const before = world.ready
    world[blind] = false
    world.rate = 0
    world.run(600)
    t.equal(world.ready, before, blind)
    t.match(world.last.reason, 'stale')
  }
})

t.test('without arrivals to look at, even workers above the maximum stay', t => {
  const world = new World(10)
  world.metricsReadable = false
  world.run(60)
  t.same(world.story, [])
  t.match(world.last, { reason: 'stale', because: /10 workers stay/ })
  world.metricsReadable = true
  world.rate = 60
  world.run(60)
  t.equal(world.ready, 8)
  t.match(world.story, [/10→9 above_maximum$/, /9→8 above_maximum$/])
  t.end()
})

t.test('a restarted TorchServe gets its workers back, and its counters are no negative load', t => {
  const world = new World()
  world.rate = 30
  world.run(60)
  world.readable = false
  world.run(4)
  world.restart(1)
  world.readable = true
  world.run(30)
  t.ok(world.ready >= 5, 'what 30 requests/s of 100 ms need')
  t.ok(world.decisions.every(({ inputs }) => (inputs.arrivalsPerSecond ?? 0) >= 0))
  t.end()
})

t.test('what somebody else sets is left alone for a while', t => {
  const world = new World()
  world.rate = 10
  world.run(20)
  world.add(3)
  world.run(5)
  t.equal(world.last.reason, 'foreign_change')
  t.match(world.last.because, 'Somebody else set 6 workers')
  world.run(50)
  t.equal(world.ready, 6)
  world.workers.length = 2
  world.run(100)
  t.equal(world.ready, 2, 'the second time for twice as long')
  t.end()
})

t.test('somebody who takes a worker out of a growth under way does not hold it up for ever', t => {
  const world = new World(3)
  world.rate = 10
  world.run(45)
  world.rate = 60
  while (world.last.action?.kind !== 'grow') world.run(1)
  world.run(1)
  world.workers.length -= 1
  const left = world.workers.length
  world.run(3)
  t.equal(world.ready, left, 'the others have loaded')
  world.run(30)
  t.equal(world.ready, 8, 'and what the load needs comes')
  t.end()
})

t.test('zero workers and back', t => {
  const world = new World()
  world.policy = { ...policy, minWorkers: 0 }
  world.rate = 1
  world.run(70)
  world.rate = 0
  world.run(100)
  t.equal(world.workers.length, 0)
  t.match(world.last.because, /first request will wake/)
  world.run(300)
  t.equal(world.workers.length, 0, 'nothing arrives, nothing wakes')
  world.requests += 1
  world.run(1)
  t.match(world.story.at(-1), /0→1 wake$/)
  world.run(3)
  t.equal(world.ready, 1)
  world.run(100)
  t.equal(world.workers.length, 0)
  const settled = world.story.length
  world.readable = false
  world.run(5)
  world.restart(0)
  world.readable = true
  world.run(100)
  t.equal(world.story.length, settled, 'counters that begin anew are no request')
  world.requests += 1
  world.run(1)
  t.match(world.story.at(-1), /0→1 wake$/)
  t.match(world.last.because, /^A request/)
  t.end()
})

t.test('without opt-in the last worker stays', t => {
  const world = new World(2)
  world.run(300)
  t.equal(world.ready, 1)
  t.end()
})

t.test('between two workers that go there is time to see what the first one’s absence does', t => {
  const world = new World(6)
  world.rate = 5
  world.run(120)
  const seconds = world.story.map(line => Number(line.split(':')[0]))
  t.equal(seconds.length, 4)
  t.ok(
    seconds.every((second, i) => second - (seconds[i - 1] ?? -Infinity) >= 5),
    String(seconds),
  )
  t.end()
})

t.test('a backlog asks for more than the arrivals alone', t => {
  const world = new World(3)
  world.rate = 10
  world.run(20)
  t.same(world.story, [])
  world.pending = 60
  world.run(4)
  t.match(world.story, [/3→\d backlog$/])
  t.end()
})

t.test('a change that failed is not tried again at once, and one that was never answered is', t => {
  const world = new World(1)
  world.policy = { ...policy, minWorkers: 2 }
  world.outcome = 'failed'
  world.run(10)
  t.equal(world.story.length, 1)
  t.equal(world.last.reason, 'cooldown')
  world.run(10)
  t.equal(world.story.length, 2)

  const lost = new World(1)
  lost.policy = world.policy
  lost.outcome = 'none'
  lost.run(60)
  t.equal(lost.story.length, 1)
  lost.run(20)
  t.equal(lost.story.length, 2)
  t.end()
})

t.test('bounds are kept whatever the load', t => {
  const world = new World(1)
  world.policy = { ...policy, minWorkers: 3, maxWorkers: 4 }
  world.run(20)
  t.equal(world.ready, 3)
  t.equal(world.story[0]?.split(' ')[1], 'below_minimum')
  world.rate = 200
  world.run(60)
  t.equal(world.ready, 4)
  t.equal(world.last.reason, 'at_maximum')
  world.policy = { ...policy, maxWorkers: 2 }
  world.run(20)
  t.equal(world.ready, 2)
  t.end()
})

t.test('a shrink that finds no safe moment is tried again, ever more rarely', t => {
  const world = new World(3)
  world.shrinks = 'abandoned'
  world.run(600)
  t.equal(world.ready, 3)
  const seconds = world.story.map(line => Number(line.split(':')[0]))
  const gaps = seconds.slice(1).map((second, i) => second - Number(seconds[i]))
  t.ok(gaps.length > 3)
  t.ok(
    gaps.every((gap, i) => gap >= (gaps[i - 1] ?? 0)),
    String(gaps),
  )
  t.ok(Math.max(...gaps) <= 62)
  t.end()
})

t.test('models where a worker is more than a worker are refused, with the reason', t => {
  const world = new World(3)
  world.description = { refusal: 'stateful' }
  world.rate = 100
  world.run(100)
  t.same(world.story, [])
  t.match(world.last, { reason: 'refused', because: /sequences/ })
  world.description = {}
  world.policy = { ...policy, scale: false }
  world.run(1)
  t.match(world.last, { reason: 'refused', because: /scale: false/ })
  t.end()
})

t.test('a model whose workers all restart with a new one is left alone', t => {
  const world = new World(3)
  world.rate = 28
  world.run(2)
  t.match(world.story, [/3→\d demand$/])
  for (const worker of world.workers) {
    worker.pid += 1_000
    worker.readyAtMs = world.nowMs + 2_000
  }
  world.run(30)
  t.equal(world.story.length, 1)
  t.match(world.last, { reason: 'refused', because: /cpu_launcher_enable/ })
  t.end()
})
