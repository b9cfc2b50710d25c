import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { mostArrivals, waitsLonger, workersNeeded } from '../../src/decide/erlang.ts'

const load = (arrivalsPerSecond: number, serviceMs = 100) => ({
  arrivalsPerSecond,
  serviceMs,
  batchSize: 1,
  maxBatchDelayMs: 100,
})

t.test('the table of 100 ms and 2 % over 150 ms', t => {
  const table = { 10: 3, 20: 4, 40: 6, 80: 11, 160: 19, 240: 27 }
  for (const [rate, workers] of Object.entries(table)) {
    t.equal(workersNeeded(load(Number(rate)), 150, 0.02), workers, `${rate} requests/s`)
  }
  t.end()
})

t.test('the probability of waiting is Erlang’s', t => {
  t.ok(Math.abs(waitsLonger(1, 0.5, 100, 0) - 0.5) < 1e-12, 'M/M/1: the share of busy time')
  t.ok(Math.abs(waitsLonger(2, 1, 100, 0) - 1 / 3) < 1e-12)
  t.equal(waitsLonger(3, 3, 100, 1000), 1, 'workers that cannot keep up')
  t.equal(waitsLonger(0, 0, 100, 0), 0)
  t.end()
})

t.test('batches share a service time, and the lock bounds the workers that are ever busy', t => {
  const batch = { arrivalsPerSecond: 60, serviceMs: 100, batchSize: 8, maxBatchDelayMs: 50 }
  t.ok(workersNeeded(batch, 150, 0.02) < workersNeeded(load(60), 150, 0.02))
  t.ok(workersNeeded({ ...batch, arrivalsPerSecond: 100_000 }, 150, 0.02) > 8)
  t.ok(workersNeeded({ ...batch, arrivalsPerSecond: 20, maxBatchDelayMs: 500 }, 0, 0.0001) <= 2)
  t.end()
})

t.test('more load never needs fewer workers, and what is needed suffices', t => {
  const rates = fc.double({ min: 0, max: 2_000, noNaN: true })
  const services = fc.double({ min: 0.5, max: 400, noNaN: true })
  const waits = fc.double({ min: 0, max: 2_000, noNaN: true })
  fc.assert(
    fc.property(rates, rates, services, waits, (a, b, serviceMs, waitMs) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)]
      const fewer = workersNeeded(load(low, serviceMs), waitMs, 0.02)
      const more = workersNeeded(load(high, serviceMs), waitMs, 0.02)
      const late = waitsLonger(more, (high * serviceMs) / 1000, serviceMs, waitMs)
      return fewer <= more && (late <= 0.02 || more === 1000)
    }),
  )
  t.end()
})

t.test('the most arrivals that so many workers take are enough for them, and no more', t => {
  const most = fc.integer({ min: 1, max: 40 })
  const batches = fc.integer({ min: 1, max: 16 })
  fc.assert(
    fc.property(most, batches, (workers, batchSize) => {
      const any = { ...load(0), batchSize }
      const needed = (arrivalsPerSecond: number) =>
        workersNeeded({ ...any, arrivalsPerSecond }, 150, 0.02)
      const rate = mostArrivals(workers, any, 150, 0.02)
      // Where batches form one at a time, more workers are never needed; then it is what they can serve at all.
      const serves = (workers * batchSize * 1000) / any.serviceMs
      return (
        rate <= serves &&
        needed(rate) <= workers &&
        (needed(1.001 * rate) > workers || rate > 0.99 * serves)
      )
    }),
  )
  t.end()
})

t.test('few workers must be idle for most of the time, as docs/pods.md has it', t => {
  const busy = (workers: number, waits: number) => {
    const any = { ...load(0), batchSize: 1 }
    const rate = mostArrivals(workers, any, waits * any.serviceMs, 0.02)
    return Math.round((100 * rate * any.serviceMs) / 1000 / workers)
  }
  const rows = readFileSync('docs/pods.md', 'utf8').matchAll(
    /^\| (\d+) +\| (\d+) % +\| (\d+) % +\| (\d+) % +\|$/gm,
  )
  const table = [...rows].map(row => row.slice(1).map(Number))
  t.equal(table.length, 5)
  for (const [workers = 0, ...told] of table)
    t.same(
      [1.5, 5, 10].map(waits => busy(workers, waits)),
      told,
      `${workers} workers`,
    )
  t.end()
})
