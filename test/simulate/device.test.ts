import t from 'tap'
import { virtualClock } from '../../src/simulate/clock.ts'
import { Device, type Contention } from '../../src/simulate/torchserve/device.ts'
import { jittered } from '../../src/simulate/torchserve/options.ts'
import { random } from '../../src/simulate/random.ts'
import { world } from './world.ts'

/** Requests per second of a model with 100 ms service and always enough to do. */
async function throughput(workers: number, contention: Contention): Promise<number> {
  const model = { workers, serviceMs: 100, device: 'd', queueSize: 1_000 }
  const w = await world(model, { devices: { d: contention } })
  const all = w.requests(500)
  await w.clock.advance(5_000)
  return all.filter(({ answer }) => answer).length / 5
}

t.test('a GPU serves up to its saturation side by side and no more', async t => {
  const gpu = { kind: 'gpu', saturation: 2 } as const
  t.same(
    [await throughput(1, gpu), await throughput(2, gpu), await throughput(4, gpu)],
    [10, 20, 20],
  )
})

t.test('behind a lock more workers bring nothing', async t => {
  for (const workers of [1, 4]) {
    const perSecond = await throughput(workers, { kind: 'lock' })
    t.ok(perSecond > 9.5 && perSecond <= 10, `${perSecond} with ${workers}`)
  }
})

t.test('on a CPU throughput falls once there are too many', async t => {
  const cpu = { kind: 'cpu', sigma: 0.1, kappa: 0.05 } as const
  const one = await throughput(1, cpu)
  const four = await throughput(4, cpu)
  const ten = await throughput(10, cpu)
  t.equal(one, 10)
  t.ok(four > one && ten < four, `${four} with four, ${ten} with ten`)
})

t.test('work slows down from the moment others begin, and speeds up when they end', async t => {
  // Epoch-sized times, where adding a fraction of a millisecond is not exact.
  const clock = virtualClock(1_795_498_763_123.456)
  const start = clock.now()
  const device = new Device(clock, { kind: 'gpu', saturation: 1 })
  const ended: number[] = []
  const note = () => ended.push(Math.round(clock.now() - start))
  void device.start(100).done.then(note)
  await clock.advance(50)
  void device.start(30).done.then(note)
  await clock.advance(1_000)
  // From 50 on both go at half speed; the short one is done at 110, the long one's last 20 go at full speed.
  t.same(ended, [110, 130])
  t.equal(clock.sleeping, 0)
})

t.test('service times vary around their mean, the same with the same seed', t => {
  const draws = () => {
    const from = random(7)
    return Array.from({ length: 200 }, () => jittered(100, 0.2)(from))
  }
  const once = draws()
  t.ok(Math.min(...once) >= 80 && Math.min(...once) < 85)
  t.ok(Math.max(...once) <= 120 && Math.max(...once) > 115)
  t.same(draws(), once)
  t.end()
})
