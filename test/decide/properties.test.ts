import fc from 'fast-check'
import t from 'tap'
import { policy, World } from './world.ts'

const step = fc.record({
  rate: fc.integer({ min: 0, max: 150 }),
  seconds: fc.integer({ min: 1, max: 40 }),
  fault: fc.constantFrom(
    'none',
    'none',
    'none',
    'unreadable',
    'no metrics',
    'loads fail',
    'restart',
    'others',
    'busy',
  ),
})

function live(
  world: World,
  { rate, seconds, fault }: typeof step extends fc.Arbitrary<infer S> ? S : never,
): void {
  world.rate = rate
  world.readable = fault !== 'unreadable'
  world.metricsReadable = fault !== 'no metrics'
  world.loadsFail = fault === 'loads fail'
  world.shrinks = fault === 'busy' ? 'abandoned' : 'removed'
  if (fault === 'restart') world.restart(2)
  if (fault === 'others') world.add(1)
  world.run(seconds)
}

t.test('whatever happens', t => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), steps => {
      const world = new World(2)
      world.policy = { ...policy, minWorkers: 1, maxWorkers: 6 }
      for (const one of steps) live(world, one)
      for (const { action, because, inputs, reason } of world.decisions) {
        if (because.length === 0 || /undefined|NaN|null/.test(because)) throw new Error(because)
        if (!action) continue
        const { from, kind, to } = action
        if (to < 1) throw new Error(`${kind} to ${to}: below the minimum`)
        if (kind === 'grow' && to > 6 + inputs.dead) throw new Error(`grown to ${to}`)
        if (kind === 'grow' && to <= from) throw new Error(`${from} → ${to} is no growth`)
        if (kind === 'shrink' && to !== from - 1) throw new Error('more than one at a time')
        if (kind === 'shrink' && reason === 'excess' && inputs.waiting !== 0)
          throw new Error('shrunk with a queue')
      }
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('a load that stays settles', t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 1, max: 8 }),
      (rate, workers) => {
        const world = new World(workers)
        world.rate = rate
        world.run(300)
        const before = world.story.length
        world.run(300)
        if (world.story.length > before) throw new Error(world.story.join(', '))
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('the same observations give the same decisions', t => {
  const story = () => {
    const world = new World()
    for (const rate of [5, 60, 3]) {
      world.rate = rate
      world.run(90)
    }
    return world.story
  }
  t.same(story(), story())
  t.end()
})
