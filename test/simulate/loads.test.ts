import t from 'tap'
import type { LoadFailure } from '../../src/simulate/torchserve/options.ts'
import { world, type World } from './world.ts'

/** A first worker that is ready; every further one fails to load. */
function secondFails(failure: LoadFailure, seed = 1): Promise<World> {
  const loadFails = ({ loaded }: { loaded: number }) => (loaded > 0 ? failure : undefined)
  return world({ maxRetrySec: 20, startMs: 300, loadMs: 500, loadFails }, { seed })
}

t.test(
  'a failing load is tried again under the same id with ever longer pauses, then no more',
  async t => {
    const w = await secondFails('exception')
    void w.scale(2)
    const { id, startTime } = w.worker(-1)
    const pids = new Map<number, number>()
    for (let ms = 0; ms <= 60_000; ms += 100) {
      const worker = w.worker(-1)
      if (!pids.has(worker.pid)) pids.set(worker.pid, ms)
      t.match(worker, { id, startTime, status: 'UNLOADING' })
      await w.clock.advance(100)
    }
    // 0.3 s until the pid is known, 0.5 s load, then 1, 1, 2, 3, 5 and 8 s.
    t.same([...pids.values()], [0, 300, 2_100, 3_900, 6_700, 10_500, 16_300, 25_100])
    t.equal(w.worker(-1).pid, [...pids.keys()].at(-1), 'the last dead pid stays')
    t.equal(w.core.processes.look(w.worker(-1).pid), 'gone')
  },
)

t.test(
  'the pool is healthy until the retry time is over, and again at once without the worker',
  async t => {
    const w = await secondFails('exception')
    void w.scale(2)
    await w.clock.advance(20_700)
    t.ok(w.core.healthy())
    await w.clock.advance(200)
    t.notOk(w.core.healthy())
    await w.scale(1)
    t.ok(w.core.healthy())
    t.same(w.ids, ['9000'])
    await w.clock.advance(60_000)
    t.same(w.ids, ['9000'])
  },
)

t.test('a synchronous call ends with the first failure', async t => {
  const statuses = { cuda: 507, exception: 500, exit: 500, kill: 507 } as const
  for (const [failure, status] of Object.entries(statuses)) {
    const w = await secondFails(failure as keyof typeof statuses)
    t.equal(await w.clock.until(w.scale(2)), status, failure)
    t.match(w.description, { minWorkers: 2, maxWorkers: 2 }, 'nothing is rolled back')
    t.equal(await w.scale(2), 206, 'the same call again does nothing')
  }
})

t.test('a load that hangs is cut off at the start-up time, and by scaling down', async t => {
  const loadFails = ({ attempt }: { attempt: number }) => (attempt === 1 ? 'hang' : undefined)
  const w = await world({ workers: 0, startupTimeoutSec: 10, startMs: 300, loadMs: 500, loadFails })
  void w.scale(1)
  await w.clock.advance(10_200)
  const { pid } = w.worker(0)
  t.equal(w.core.processes.look(pid), 'busy')
  await w.clock.advance(200)
  t.equal(w.core.processes.look(pid), 'gone')
  await w.clock.advance(2_000)
  t.match(w.worker(0), { status: 'READY' })

  const hanging = await secondFails('hang')
  void hanging.scale(2)
  await hanging.clock.advance(2_000)
  const victim = hanging.worker(-1).pid
  await hanging.scale(1)
  t.equal(hanging.core.processes.look(victim), 'gone')
})

t.test('one that is taken away between two tries is tried again, and serves unlisted', async t => {
  const loadFails = ({ workerId, attempt }: { workerId: string; attempt: number }) =>
    workerId !== '9000' && attempt === 1 ? 'exception' : undefined
  const servers = async (takenMs: number) => {
    const w = await world({ startMs: 300, loadMs: 500, loadFails })
    void w.scale(2)
    await w.clock.advance(takenMs)
    await w.scale(1)
    t.same(w.ids, ['9000'])
    await w.clock.advance(5_000)
    const [one, other] = w.requests(2)
    await w.clock.advance(1_000)
    return { alike: one?.atMs !== undefined && one.atMs === other?.atMs }
  }
  t.notOk((await servers(500)).alike, 'while it loads it is killed')
  t.ok((await servers(1_000)).alike, 'in the pause it is not')
  t.notOk((await servers(2_000)).alike, 'nor is it left when the next try has begun')
})

t.test('while only dead workers are listed, requests wait; a new worker serves them', async t => {
  const loadFails = ({ workerId }: { workerId: string }) =>
    workerId === '9000' ? 'exception' : undefined
  const w = await world({ maxRetrySec: 1, loadFails })
  await w.clock.advance(20_000)
  t.match(w.workers, [{ id: '9000', status: 'UNLOADING' }])
  const waiting = w.request()
  await w.clock.advance(60_000)
  t.equal(waiting.answer, undefined)
  await w.clock.until(w.scale(2))
  await w.clock.advance(200)
  t.equal(waiting.answer?.status, 200)
  t.notOk(w.core.healthy())

  await w.scale(1)
  t.match(w.workers, [{ id: '9000' }], 'one less kills the good one')
  await w.scale(0)
  await w.clock.until(w.scale(1))
  t.match(w.workers, [{ id: '9002', status: 'READY' }])
  t.ok(w.core.healthy())
})

t.test(
  'a worker whose load reports that memory ran out may take a waiting request with it',
  async t => {
    let lost = 0
    for (let seed = 1; seed <= 10; seed++) {
      const w = await secondFails('cuda', seed)
      const all = w.requests(60)
      void w.scale(2)
      await w.clock.advance(5_000)
      lost += all.filter(({ answer }) => answer?.status === 507).length
    }
    t.ok(lost > 8 && lost < 25, `${lost} of about 27 tries took one`)
  },
)

t.test('memory is 0 until the next collection, and the old process’s after a restart', async t => {
  const w = await world({ bytes: 1_000_000 }, { metricIntervalSec: 5 })
  t.equal(w.worker(0).memoryUsage, 0)
  await w.clock.advance(5_000)
  t.equal(w.worker(0).memoryUsage, 1_000_000)
  const { pid } = w.worker(0)
  w.core.kill(pid)
  await w.clock.advance(2_000)
  t.match(w.worker(0), { status: 'READY', memoryUsage: 1_000_000 })
  t.not(w.worker(0).pid, pid)
})

t.test('a process that vanishes while memory is read ends the collection for good', async t => {
  const w = await world({ workers: 2, bytes: 1_000_000 }, { metricIntervalSec: 5 })
  await w.clock.advance(4_020)
  await w.scale(1)
  await w.clock.until(w.scale(2))
  const used = w.core.page(new Set(['MemoryUsed']))
  await w.clock.advance(60_000)
  t.match(w.worker(-1), { status: 'READY', memoryUsage: 0 })
  t.equal(w.core.page(new Set(['MemoryUsed'])), used)
  t.match(await w.clock.until(w.core.infer({ model: 'm' })), { status: 200 })
})

t.test('each worker leaves a WorkerLoadTime series for ever', async t => {
  const w = await world()
  for (let i = 0; i < 20; i++) {
    await w.clock.until(w.scale(2))
    await w.scale(1)
  }
  const page = w.core.page(new Set(['WorkerLoadTime']))
  t.equal(page.split('\n').filter(line => line.startsWith('WorkerLoadTime{')).length, 21)
  t.match(
    page,
    /WorkerLoadTime{WorkerName="W-9020-m_1\.0",Level="Host",Hostname="emulated",} 400\.0/,
  )
})
