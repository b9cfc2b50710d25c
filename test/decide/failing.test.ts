import t from 'tap'
import { World } from './world.ts'

t.test(
  'a growth that fails to load is rolled back within two ticks and not tried again soon',
  t => {
    const world = new World()
    world.rate = 10
    world.loadsFail = true
    world.run(6)
    t.same(world.story.slice(0, 2), ['2:1→2 demand', '4:2→1 load_failed'])
    world.run(300)
    t.equal(world.story.length, 2, 'the ceiling holds')
    t.equal(world.last.reason, 'at_ceiling')
    t.match(world.last.because, /its process ended while loading/)
    world.loadsFail = false
    world.run(400)
    t.ok(world.ready > 1, 'and is forgotten with time')
    t.end()
  },
)

t.test('a load that failed is taken back when the next try has begun, not before', t => {
  const world = new World()
  world.rate = 10
  world.loadMs = 60_000
  world.run(5)
  const loading = world.workers[1]
  if (!loading) throw new Error('no growth')
  loading.alive = false
  world.run(3)
  t.match(world.last, { reason: 'loading', because: /once TorchServe has begun to try it again/ })
  t.equal(world.workers.length, 2)
  Object.assign(loading, { alive: true, pid: 4711 })
  world.run(1)
  t.equal(world.workers.length, 1)
  t.match(world.story.at(-1), /2→1 load_failed/)

  const after = (loadedS: number) => {
    const other = new World()
    other.rate = 10
    other.loadMs = 60_000
    while (other.workers.length < 2) other.run(1)
    other.run(loadedS)
    if (other.workers[1]) other.workers[1].alive = false
    return other
  }
  const unseen = after(5)
  unseen.run(4)
  t.equal(unseen.workers.length, 2)
  unseen.run(4)
  t.equal(unseen.workers.length, 1, 'a try that is never seen is not waited for much longer')
  const quick = after(1)
  quick.run(1)
  t.equal(quick.workers.length, 1, 'what fails at once may take a request with it each time')
  t.end()
})

t.test('workers that serve are not killed for one before them that cannot load', t => {
  const grown = () => {
    const world = new World(3)
    world.rate = 10
    world.run(45)
    world.rate = 60
    while ((world.last.action?.to ?? 0) - (world.last.action?.from ?? 0) < 2) world.run(1)
    const first = world.workers[world.last.action?.from ?? 0]
    if (first) {
      first.readyAtMs = Infinity
      world.run(1)
      first.fails = true
    }
    world.run(5)
    const told = world.decisions.find(({ reason }) => reason === 'load_failed')
    t.match(told?.because, /stays while those behind it serve/)
    t.notOk(told?.action)
    return { world, first }
  }
  const { world, first } = grown()
  const listed = world.workers.length
  world.run(60)
  t.equal(world.workers.length, listed)
  t.equal(world.last.inputs.ceiling, listed - 1)
  if (first) Object.assign(first, { fails: false, readyAtMs: world.nowMs })
  world.run(120)
  t.notOk(
    world.story.some(line => line.endsWith('load_failed')),
    'it has loaded after all',
  )

  const { world: worse } = grown()
  worse.run(100)
  const taken = worse.story.filter(line => line.endsWith('load_failed'))
  t.match(taken[0], /:8→7 /, 'those behind it go one by one')
  t.notOk(
    worse.workers.some(({ fails }) => fails),
    'then it goes',
  )
  t.ok(Number(taken.at(-1)?.split(':')[0]) < 250)
  t.equal(worse.ready, listed - 1, 'and as many come back as could load')
  t.end()
})

t.test('a load that hangs is rolled back before TorchServe’s own timeout', t => {
  const world = new World()
  world.rate = 10
  world.loadMs = Infinity
  world.run(130)
  const [grown, back] = world.story
  t.equal(grown, '2:1→2 demand')
  t.match(back, /2→1 load_failed$/)
  t.ok(Number(back?.split(':')[0]) < 120)
  t.end()
})

t.test('a short startup timeout leaves a load the time it allows', t => {
  const world = new World()
  world.description = { startupTimeoutMs: 5_000 }
  world.loadMs = 4_000
  world.rate = 10
  world.run(60)
  t.equal(world.ready, 3)
  t.notOk(world.story.some(line => line.endsWith('load_failed')))
  t.end()
})

t.test('all workers dead: going to none and back is the only cure', t => {
  const world = new World(0)
  world.description = { maxRetryMs: 10_000, startupTimeoutMs: 20_000 }
  world.loadsFail = true
  world.add(1)
  for (const worker of world.workers) worker.fails = false
  world.loadsFail = false
  world.run(30)
  t.same(world.story, [], 'it may still be loading')
  world.run(15)
  t.match(world.story[0], /1→1 dead_worker$/)
  world.run(5)
  t.equal(world.ready, 1)
  t.end()
})

t.test('a dead worker before others that serve stays, and it is said', t => {
  const world = new World(2)
  world.description = { maxRetryMs: 5_000 }
  world.rate = 5
  world.run(20)
  const [first] = world.workers
  if (first) first.readyAtMs = Infinity
  world.run(60)
  t.equal(world.last.inputs.dead, 1)
  t.equal(world.workers[0], first)
  t.notOk(world.story.some(line => /dead_worker|load_failed/.test(line)))
  t.match(world.last, { because: /1 worker of the list is dead and keeps \/ping red/ })
  t.notOk(world.last.action)
  t.end()
})

t.test('a failing worker that another agent left behind is rolled back', t => {
  const world = new World(1)
  world.loadsFail = true
  world.add(1)
  world.run(5)
  t.same(world.story, [], 'one that crashed may be back in a moment')
  world.run(10)
  t.match(world.story, [/2→1 load_failed$/])
  t.equal(world.workers.length, 1)
  t.ok(world.last.inputs.ceiling === 1, 'and not tried again soon')
  t.end()
})
