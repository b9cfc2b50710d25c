/** Goal: what dcgm-exporter no longer collects is not taken for what is so now. Method: a real HTTP server, a clock that is moved. */
import t from 'tap'
import { wallClock } from '../../../src/clock.ts'
import type { Observation } from '../../../src/model.ts'
import { card, dcgm, line, memory, other, own } from './exporter.ts'
import { MIB } from './rig.ts'

/** Looks again later, with what is shown then. */
function later({ look, served, time }: Awaited<ReturnType<typeof dcgm>>) {
  return async (ms: number, lines = served.lines) => {
    served.lines = lines
    time.aheadMs += ms
    for (let tries = 0; tries < 10; tries++) {
      look()
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    return look()
  }
}

t.test('an exporter that fails, and one that shows the same for ever', async t => {
  const watched = await dcgm(t, memory({ ...card, ...own }, 1, 79_000))
  const { served, settle } = watched
  const after = later(watched)
  t.match(await settle(), { gpus: { state: 'fresh' } })
  t.match(await after(25_000), { gpus: { state: 'fresh' } }, 'two collections apart at most')
  t.match(await after(30_000), { gpus: { state: 'absent' }, notes: [{ code: 'DCGM_STALE' }] })
  served.lines = memory({ ...card, ...own }, 2, 78_999)
  t.match(await after(10_000), { gpus: { state: 'fresh', value: [{ usedBytes: 2 * MIB }] } })
  served.status = 503
  t.match(await after(10_000), { gpus: { state: 'absent' }, notes: [{ code: 'DCGM_UNREADABLE' }] })
})

const energy = (labels: Record<string, string>, value: number) =>
  line('DEV_TOTAL_ENERGY_CONSUMPTION', labels, value)

t.test('a GPU that is no longer collected is told as such, however lively the others', async t => {
  const rows = memory({ ...card, ...own }, 1, 79_000)
  const mine = energy({ ...card, ...own }, 100)
  const others = (value: number) => energy({ ...card, UUID: 'GPU-2', ...other }, value)
  const watched = await dcgm(t, [...rows, mine, others(1)])
  const after = later(watched)
  t.match(await watched.settle(), { gpus: { state: 'fresh' } })
  t.match(await after(20_000, [...rows, mine, others(2)]), { gpus: { state: 'fresh' } })
  t.match(await after(15_000, [...rows, mine, others(3)]), {
    gpus: { state: 'absent', why: /shown the same of GPU-1 for 6\d s/ },
    notes: [{ code: 'DCGM_STALE' }],
  })
  const collected = [...rows, energy({ ...card, ...own }, 101), others(4)]
  t.match(await after(6_000, collected), { gpus: { state: 'fresh' } })
})

t.test('a GPU that nobody uses is as old as the page, where its energy is not shown', async t => {
  const rows = memory({ ...card, ...own }, 1, 79_000)
  const beside = (watts: number) => line('DEV_POWER_USAGE', { ...card, UUID: 'GPU-2' }, watts)
  const watched = await dcgm(t, [...rows, beside(60)])
  const after = later(watched)
  await watched.settle()
  for (const watts of [61, 62, 63]) await after(25_000, [...rows, beside(watts)])
  t.match(watched.look(), { gpus: { state: 'fresh' } })
})

t.test('after an outage what is shown is no younger than what could be looked at', async t => {
  const watched = await dcgm(t, memory({ ...card, ...own }, 1, 79_000))
  const after = later(watched)
  await watched.settle()
  watched.served.status = 503
  await after(600_000)
  watched.served.status = 200
  // Collected at any time of the outage; that it is not older than usual is taken for granted once.
  const seen = await after(310_000, memory({ ...card, ...own }, 2, 78_999))
  t.match(seen, { gpus: { state: 'fresh', value: [{ usedBytes: 2 * MIB }] } })
  t.ok(ageOf(seen, watched) >= 30_000)
  t.match(await after(31_000), { gpus: { state: 'absent' }, notes: [{ code: 'DCGM_STALE' }] })
})

t.test('a change is as old as the look before it', async t => {
  const watched = await dcgm(t, memory({ ...card, ...own }, 1, 79_000))
  const after = later(watched)
  await watched.settle()
  await after(8_000)
  const seen = await after(12_000, memory({ ...card, ...own }, 2, 78_999))
  t.match(seen, { gpus: { value: [{ usedBytes: 2 * MIB }] } })
  const age = ageOf(seen, watched)
  t.ok(age >= 12_000 && age < 14_000, `${age} ms`)
})

function ageOf({ gpus }: Pick<Observation, 'gpus'>, { time }: { time: { aheadMs: number } }) {
  return gpus.state === 'fresh' ? wallClock.now() + time.aheadMs - gpus.atMs : Number.NaN
}
