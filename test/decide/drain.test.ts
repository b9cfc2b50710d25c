/** Goal: a drain ends when no client waits for an answer any more, and not before; meanwhile no worker is taken. */
import t from 'tap'
import { World } from './world.ts'

function drained(world: World): World {
  world.drainRequest = { sinceMs: world.nowMs, untilMs: world.nowMs + 60_000 }
  return world
}

/** Seconds until the drain is done; Infinity when it is not within a minute. */
function untilDone(world: World): number {
  for (let second = 1; second <= 60; second++) if (world.run(1).drain?.done) return second
  return Infinity
}

function busy(rate: number, workers = 4): World {
  const world = new World(workers)
  world.rate = rate
  return world.run(30)
}

t.test('nobody asked', async t => {
  t.equal(busy(5).drain, undefined)
})

t.test('while requests arrive it waits, and says for what', async t => {
  const world = drained(busy(5)).run(20)
  t.match(world.drain, { done: false, because: /^m: quiet for 0 of 5 s$/ })
  world.rate = 0
  t.ok(untilDone(world) >= 5, 'proxies may send for a few seconds more')
  t.match(world.drain, { because: 'No request waits or is served' })
})

t.test('what waits is served first', async t => {
  const world = busy(60)
  world.rate = 0
  world.pending = 200
  drained(world).run(1)
  t.match(world.drain, { done: false, because: /^m: \d+ waiting$/ })
  const left = () => world.pending
  t.ok(untilDone(world) > 5)
  t.equal(left(), 0)
})

t.test('a slow request is given three times what one takes', async t => {
  const world = new World(4)
  world.serviceMs = () => 6_000
  world.rate = 0.5
  drained(world.run(60))
  world.rate = 0
  const took = untilDone(world)
  t.ok(took >= 18 && took < 30, `${took} s`)
})

t.test('also where that is longer than samples are kept', async t => {
  const world = new World(4)
  world.serviceMs = () => 25_000
  world.rate = 0.15
  drained(world.run(300))
  world.rate = 0
  world.run(70)
  t.match(world.drain, { done: false, because: /^m: quiet for \d+ of 75 s$/ })
  t.ok(untilDone(world) < 30)
})

t.test('an idle pod need not wait longer than proxies do', async t => {
  t.equal(untilDone(drained(new World(1).run(30))), 5)
})

t.test('what cannot be seen is not taken for empty', async t => {
  for (const blind of ['readable', 'metricsReadable'] as const) {
    const world = busy(5)
    world.rate = 0
    world[blind] = false
    t.equal(untilDone(drained(world)), Infinity, blind)
  }
  const unanswered = new World(1)
  unanswered.serviceMs = () => 1e9
  unanswered.requests = 1
  t.equal(untilDone(drained(unanswered.run(30))), Infinity, 'a first request under way')
})

t.test('no worker is taken while it lasts, and those that help may come', async t => {
  const world = busy(35, 8)
  world.rate = 0.1
  const before = world.story.length
  drained(world).run(300)
  t.equal(world.workers.length, 8)
  t.same(world.story.slice(before), [])
  t.match(world.last, { reason: 'draining', because: /no worker is taken \(quiet for/ })
  world.drainRequest = undefined
  world.run(120)
  t.ok(world.workers.length < 8, 'forgotten, it takes them again')

  const growing = drained(busy(5, 1))
  growing.rate = 30
  growing.run(20)
  t.ok(growing.workers.length > 1)
})
