/** Goal: of several pods the idlest has the least deletion cost, and it is written seldom. Method: timelines. */
import t from 'tap'
import { Container } from './container.ts'
import { World } from './world.ts'

/** A world that has had this rate for three minutes. */
function under(rate: number, workers = 1): World {
  const world = new World(workers)
  world.costed = true
  world.rate = rate
  world.run(180)
  return world
}

const costs = (world: World) => world.costStory.map(each => Number(each.split(':')[1]))

t.test('the more its load keeps busy, the more it costs to lose the pod', async t => {
  // Of 100 ms each: none, 0.1, 1, 4 and 40 busy workers, the last of which no pod here could have.
  const ranked = [0, 1, 10, 40, 400].map(rate => under(rate).cost?.cost ?? null)
  t.strictSame(ranked, [0, 3, 6, 8, 12])
  t.equal(under(0).cost?.because, 'No request comes.')
  t.match(under(10).cost?.because, /^What comes and waits keeps 1.00 workers busy\.$/)
})

t.test('it goes by the load and not by the workers that the pod happens to run', async t => {
  t.equal(under(10, 1).cost?.cost, under(10, 8).cost?.cost)
})

t.test('what waits counts as well', async t => {
  const queued = new World()
  queued.costed = true
  queued.policy = { ...queued.policy, maxWorkers: 1 }
  queued.rate = 14
  queued.run(600)
  t.ok((queued.last.inputs.waiting ?? 0) > 1_000)
  t.ok((queued.cost?.cost ?? 0) > (under(14).cost?.cost ?? 0), `${queued.cost?.because}`)
})

t.test('a pod none of whose workers is ready goes first, whatever comes', async t => {
  const world = under(10)
  world.loadMs = 600_000
  world.restart(1)
  world.run(130)
  t.strictSame(costs(world).slice(-2), [6, 0])
  t.match(world.cost?.because, /No worker is ready/)
})

t.test('a load as before is not written again, and small changes are none', async t => {
  const world = under(10)
  t.strictSame(costs(world), [6])
  for (const rate of [8, 13, 10, 6.2, 15.5]) {
    world.rate = rate
    world.run(300)
  }
  t.strictSame(costs(world), [6])
  world.rate = 20
  world.run(300)
  t.strictSame(costs(world), [6, 7])
})

t.test('however the load moves, it is written at most every two minutes', async t => {
  const world = new World()
  world.costed = true
  for (let minute = 0; minute < 60; minute++) {
    world.rate = minute % 2 === 0 ? 80 : 1
    world.run(60)
  }
  const atS = world.costStory.map(each => Number(each.split(':')[0]))
  t.ok(atS.length > 5)
  t.strictSame(
    atS.filter((second, place) => second - (atS[place - 1] ?? -Infinity) < 120),
    [],
  )
})

t.test('what is not known changes nothing', async t => {
  for (const what of ['readable', 'metricsReadable'] as const) {
    const world = under(40)
    world[what] = false
    world.rate = 0
    world.run(600)
    t.strictSame(costs(world), [8], what)
    t.match(world.cost, { cost: null, written: 8 })
  }
})

t.test('nothing is written on a pod that goes', async t => {
  const drained = under(40)
  drained.drainRequest = { sinceMs: drained.nowMs, untilMs: drained.nowMs + 600_000 }
  const deleted = under(40)
  const container = new Container()
  container.state.terminating = true
  deleted.container = container
  for (const world of [drained, deleted]) {
    world.rate = 0
    world.run(400)
    t.strictSame(costs(world), [8])
    t.match(world.cost?.because, 'The pod is going')
  }
})

t.test('a write that fails is tried again after a while, no sooner than was told', async t => {
  const world = new World()
  world.costed = true
  world.costFails = { retryAfterMs: undefined }
  world.run(300)
  t.strictSame(world.costStory, ['2:0', '122:0', '242:0'])
  world.costFails = { retryAfterMs: 200_000 }
  world.run(300)
  t.strictSame(world.costStory.slice(3), ['362:0', '562:0'])
  world.costFails = undefined
  world.run(700)
  t.equal(world.costStory.length, 6, 'until it is written')
  t.equal(world.cost?.written, 0)
})

t.test('unless it is wanted there is none', async t => {
  const world = new World()
  world.rate = 10
  world.run(300)
  t.equal(world.cost, undefined)
})
