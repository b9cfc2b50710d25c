import t from 'tap'
import { learnLoading, mayLoadTogether, noLoading } from '../../src/decide/loading.ts'
import { World } from './world.ts'

t.test('as many load together as are ready well within the start-up timeout', t => {
  const rows: [aloneMs: number | undefined, slowdown: number, timeoutMs: number, most: number][] = [
    [undefined, 0.5, 120_000, 1],
    [2_000, 0.5, 120_000, 95],
    [20_000, 0.5, 120_000, 8],
    [60_000, 0.5, 120_000, 2],
    [60_000, 1, 120_000, 1],
    [60_000, 0, 120_000, 61],
    [100_000, 0, 120_000, 1],
    [100_000, 0, 600_000, 381],
  ]
  for (const [aloneMs, slowdown, timeoutMs, most] of rows) {
    const together = mayLoadTogether({ aloneMs, slowdown }, timeoutMs)
    t.equal(together, most, `${aloneMs} ms alone, slowdown ${slowdown}, timeout ${timeoutMs} ms`)
    const worstMs = (aloneMs ?? 0) * (1 + Math.min(slowdown, 1) * (together - 1))
    t.ok(together === 1 || worstMs <= timeoutMs, 'within it')
  }
  t.end()
})

t.test('what loads do to each other is learned where some ran together', t => {
  let loading = learnLoading(noLoading, 20_000, 1)
  t.match(loading, { aloneMs: 20_000, slowdown: 0.5 })
  for (let i = 0; i < 5; i++) loading = learnLoading(loading, 20_000, 4)
  t.ok(loading.slowdown < 0.05, 'they do not feel each other')
  for (let i = 0; i < 5; i++) loading = learnLoading(loading, 80_000, 4)
  t.ok(loading.slowdown > 0.95, 'they wait for each other')
  t.equal(loading.aloneMs, 20_000)
  t.end()
})

t.test('a model that loads for a minute grows by several at a time', t => {
  const world = new World()
  world.loadMs = 60_000
  world.rate = 60
  world.run(400)
  const steps = world.story.map(line => line.replace(/^[\d.]+:/, ''))
  t.same(steps, ['1→2 demand', '2→4 demand', '4→7 demand', '7→8 demand'])
  const readyAt = world.decisions.findIndex(({ inputs }) => inputs.ready === 8)
  t.ok(readyAt > 0 && readyAt < 260, `all eight after ${readyAt} s`)
  t.end()
})
