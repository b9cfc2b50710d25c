import t from 'tap'
import { world } from './world.ts'

t.test('adds up to the minimum, kills the last ones, and never uses an id twice', async t => {
  const w = await world({ workers: 1 })
  await w.clock.until(w.scale(3))
  t.same(w.ids, ['9000', '9001', '9002'])
  const last = w.worker(-1)
  await w.scale(2)
  t.same(w.ids, ['9000', '9001'])
  t.equal(w.core.processes.look(last.pid), 'gone')
  await w.clock.until(w.scale(3))
  t.same(w.ids, ['9000', '9001', '9003'])
  t.match(w.description, { minWorkers: 3, maxWorkers: 3 })
})

t.test('between minimum and maximum nothing happens, but both are kept', async t => {
  const w = await world({ workers: 2 })
  await w.core.scale({ model: 'm' }, 1, 4)
  t.same(w.ids, ['9000', '9001'])
  t.match(w.description, { minWorkers: 1, maxWorkers: 4 })
})

t.test('a new worker has no pid at first, then loads, then is ready', async t => {
  const w = await world({ startMs: 300, loadMs: 2_000 })
  await w.clock.advance(2_000)
  void w.scale(2)
  t.match(w.worker(-1), { pid: -1, status: 'UNLOADING', memoryUsage: 0 })
  await w.clock.advance(310)
  const { pid } = w.worker(-1)
  t.equal(w.core.processes.look(pid), 'busy')
  await w.clock.advance(2_000)
  t.match(w.worker(-1), { pid, status: 'READY' })
  t.equal(w.core.processes.look(pid), 'idle')
})

t.test(
  'a minimum of zero with a maximum leaves workers that serve on and that nothing kills',
  async t => {
    const w = await world({ workers: 3 })
    const pids = w.workers.map(({ pid }) => pid)
    await w.core.scale({ model: 'm' }, 0, 2)
    t.same(w.ids, [])
    t.same(
      pids.map(pid => w.core.processes.look(pid)),
      ['idle', 'idle', 'gone'],
    )
    t.equal((await w.core.infer({ model: 'm' })).status, 503)
    t.ok(w.core.healthy())

    void w.scale(1)
    const early = w.request()
    await w.clock.advance(110)
    t.match(early.answer, { status: 200 }, 'answered while the listed worker still loads')
    for (const count of [2, 0, 1]) await w.clock.until(w.scale(count))
    t.equal(w.core.processes.look(pids[0] ?? 0), 'idle')
    const three = w.requests(3)
    await w.clock.advance(110)
    t.same(
      three.map(({ answer }) => answer?.status),
      [200, 200, 200],
      'three at once, though one worker is listed',
    )
  },
)

t.test('a minimum of -1 kills all, fails, and stays', async t => {
  const w = await world({ workers: 2 })
  const message = 'Index -1 out of bounds for length 0'
  t.throws(() => w.scale(-1), { status: 500, type: 'IndexOutOfBoundsException', message })
  t.match(w.description, { minWorkers: -1, maxWorkers: -1, workers: [] })
  t.equal((await w.core.infer({ model: 'm' })).status, 503)
  await w.clock.until(w.scale(1))
  t.match(w.description, { minWorkers: 1, maxWorkers: 1, workers: [{ status: 'READY' }] })
})

t.test('down to zero with a queue keeps the queue, and a later worker drains it', async t => {
  const w = await world({ serviceMs: 1_000 })
  const queued = w.requests(4)
  await w.clock.advance(100)
  await w.scale(0)
  t.equal((await w.core.infer({ model: 'm' })).status, 503)
  await w.clock.advance(60_000)
  t.same(
    queued.slice(1).filter(({ answer }) => answer),
    [],
  )
  void w.scale(1)
  const next = w.request()
  await w.clock.advance(6_000)
  t.match(
    [...queued.slice(1), next].map(({ answer }) => answer),
    [{ status: 200 }, { status: 200 }, { status: 200 }, { status: 200 }],
  )
})

t.test('a full queue refuses; the refused one is counted', async t => {
  const w = await world({ queueSize: 5 })
  const all = w.requests(12)
  await w.clock.advance(2_000)
  const statuses = all.map(({ answer }) => answer?.status).toSorted((a, b) => Number(a) - Number(b))
  t.same(statuses, [...Array(5).fill(200), ...Array(7).fill(503)])
  t.match(w.core.page(new Set(['ts_inference_requests_total'])), / 12\.0\n$/)
})

t.test('scaling down with a full queue may fail after the worker is gone', async t => {
  const outcomes = new Set<string>()
  for (let seed = 1; seed <= 12; seed++) {
    const w = await world({ workers: 2, queueSize: 2, serviceMs: 1_000 }, { seed })
    const all = w.requests(2)
    await w.clock.advance(10)
    all.push(...w.requests(2))
    try {
      await w.scale(1)
      outcomes.add('done')
    } catch (error) {
      outcomes.add(String(error))
    }
    t.same(w.ids, ['9000'])
    t.match(w.description, { minWorkers: 1, maxWorkers: 1 })
    await w.clock.advance(5_000)
    t.equal(all.filter(({ answer }) => answer?.status === 500).length, 1)
  }
  t.same(outcomes, new Set(['done', 'Error: Deque full']))
})

t.test('versions have workers, queues and counters of their own', async t => {
  const w = await world({}, { models: [{ name: 'm' }, { name: 'm', version: '2.0', workers: 2 }] })
  t.same(
    w.core.describe({ model: 'm', version: 'all' }).map(v => v['modelVersion']),
    ['1.0', '2.0'],
  )
  await w.clock.until(w.core.infer({ model: 'm' }))
  await w.clock.until(w.core.infer({ model: 'm', version: '2.0' }))
  const page = w.core.page(new Set(['ts_inference_requests_total']))
  t.match(page, /model_version="default",hostname="emulated",} 1\.0/)
  t.match(page, /model_version="2\.0",hostname="emulated",} 1\.0/)
  w.core.setDefault('m', '2.0')
  t.equal(w.workers.length, 2)
})
