import t from 'tap'
import { world } from './world.ts'

t.test('idle workers take requests in the order in which they became idle', async t => {
  const w = await world({ workers: 3, serviceMs: 100 })
  const { processes } = w.core
  const busy = () =>
    w.workers.filter(({ pid }) => processes.look(pid) === 'busy').map(({ id }) => id)
  const taken: string[] = []
  for (let i = 0; i < 5; i++) {
    w.request()
    await w.clock.advance(10)
    taken.push(...busy())
    await w.clock.advance(200)
  }
  t.same(taken, ['9000', '9001', '9002', '9000', '9001'])
})

t.test('one worker collects a batch while the others cannot take anything', async t => {
  const w = await world({ workers: 2, batchSize: 4, maxBatchDelayMs: 200, serviceMs: 100 })
  const first = w.request()
  await w.clock.advance(150)
  const second = w.request()
  t.equal(w.workers.filter(({ pid }) => w.core.processes.look(pid) === 'busy').length, 0)
  await w.clock.advance(1)
  t.match(w.description.jobQueueStatus, { pendingRequests: 0, remainingCapacity: 100 })
  await w.clock.advance(500)
  t.match(first, { atMs: 1_300, answer: { status: 200, queuedMs: 200 } })
  t.match(second, { atMs: 1_300, answer: { queuedMs: 50 } })

  const full = w.requests(4)
  await w.clock.advance(100)
  t.ok(
    full.every(({ answer }) => answer?.status === 200),
    'a full batch does not wait',
  )
})

t.test(
  'a decoy travels alone: the batch leaves at once, the next in line takes the decoy',
  async t => {
    const w = await world({ workers: 2, batchSize: 4, maxBatchDelayMs: 500, serviceMs: 100 })
    const batch = w.requests(2)
    await w.clock.advance(100)
    const decoy = w.request('decoy')
    await w.clock.advance(1)
    t.equal(decoy.answer?.status, 200)
    await w.clock.advance(100)
    t.same(
      batch.map(({ atMs }) => atMs),
      [1_200, 1_200],
    )
  },
)

t.test(
  'a decoy runs the handler as the model is told, and moves no counter but PredictionTime',
  async t => {
    for (const [describe, status, tookMs] of [
      ['quick', 200, 1],
      ['runs', 200, 100],
      ['error', 503, 100],
    ] as const) {
      const w = await world({ describe, serviceMs: 100 })
      const decoy = w.request('decoy')
      await w.clock.advance(200)
      t.match(decoy, { atMs: 1_000 + tookMs, answer: { status } })
      t.notMatch(w.core.page(new Set()), /^ts_/m)
      const moved = w.core.page(new Set(['PredictionTime']))
      t.equal(moved.includes(` ${tookMs}.0\n`), describe !== 'error')
    }
    const none = await world({ workers: 0 })
    t.match(await none.core.decoy({ model: 'm' }), {
      status: 503,
      message: /serve describe request/,
    })
  },
)

t.test(
  'a thread’s text changes when it takes a job, gets a reply, or becomes next in line',
  async t => {
    const w = await world({ workers: 3, serviceMs: 100 })
    const texts = () => w.workers.map(({ id, pid }) => w.core.processes.thread(id, pid))
    const changes = async (ms: number) => {
      const before = texts()
      await w.clock.advance(ms)
      return texts().map((text, place) => text !== before[place])
    }
    w.request()
    t.same(await changes(10), [true, true, false], 'the first takes it, the second is next')
    t.same(await changes(80), [false, false, false])
    t.same(await changes(20), [true, false, false], 'the reply')
    t.ok(texts().every(text => text?.split(':')[1]?.startsWith('S')))
    const { id, pid } = w.worker(0)
    w.core.kill(pid)
    t.equal(w.core.processes.thread(id, pid), undefined)
  },
)

t.test('a stopped worker is handed one job and holds it', async t => {
  const w = await world({ workers: 2, serviceMs: 100 })
  const { processes } = w.core
  const { pid } = w.worker(0)
  t.ok(processes.signal(pid, 'SIGSTOP'))
  t.equal(processes.look(pid), 'stopped')
  const [held, next] = w.requests(2)
  await w.clock.advance(1_000)
  t.equal(held?.answer, undefined)
  t.match(next, { atMs: 1_100, answer: { status: 200 } })
  t.ok(processes.signal(pid, 'SIGCONT'))
  t.equal(processes.look(pid), 'busy')
  await w.clock.advance(100)
  t.match(held, { atMs: 2_100, answer: { status: 200 } })
  await w.scale(0)
  t.notOk(processes.signal(pid, 'SIGCONT'))
  t.notOk(processes.isWorker(pid))
})

t.test('work that is under way pauses while its worker is stopped', async t => {
  const w = await world({ serviceMs: 100 })
  const { pid } = w.worker(0)
  const request = w.request()
  await w.clock.advance(40)
  w.core.processes.signal(pid, 'SIGSTOP')
  await w.clock.advance(500)
  w.core.processes.signal(pid, 'SIGCONT')
  await w.clock.advance(100)
  t.match(request, { atMs: 1_600 })
})

t.test(
  'a stopped worker that holds a decoy is waited for without end; with a request it is replaced',
  async t => {
    const w = await world({ responseTimeoutSec: 2 })
    const { pid } = w.worker(0)
    w.core.processes.signal(pid, 'SIGSTOP')
    const decoy = w.request('decoy')
    await w.clock.advance(60_000)
    t.equal(decoy.answer, undefined)
    t.match(w.worker(0), { status: 'READY', pid })
    w.core.processes.signal(pid, 'SIGCONT')
    await w.clock.advance(100)
    t.equal(decoy.answer?.status, 200)

    w.core.processes.signal(pid, 'SIGSTOP')
    const request = w.request()
    await w.clock.advance(2_001)
    t.match(request.answer, { status: 500 })
    await w.clock.advance(2_000)
    t.not(w.worker(0).pid, pid)
  },
)

t.test('a handover hides a job from the look at the process, not from the thread', async t => {
  const w = await world({ serviceMs: 100 }, { handoverMs: 5 })
  const { id, pid } = w.worker(0)
  const before = w.core.processes.thread(id, pid)
  const request = w.request()
  await w.clock.advance(3)
  t.equal(w.core.processes.look(pid), 'idle')
  t.not(w.core.processes.thread(id, pid), before)
  await w.clock.advance(50)
  t.equal(w.core.processes.look(pid), 'busy')
  await w.clock.advance(54)
  t.equal(w.core.processes.look(pid), 'idle')
  t.equal(request.answer, undefined)
  await w.clock.advance(10)
  t.match(request, { atMs: 1_110 })
})

t.test('frozen, nothing is taken and nothing answered', async t => {
  const w = await world({ serviceMs: 100 })
  const under = w.request()
  await w.clock.advance(10)
  w.core.freeze()
  const later = w.request()
  await w.clock.advance(5_000)
  t.equal(under.answer, undefined)
  w.core.thaw()
  await w.clock.advance(1)
  t.equal(under.answer?.status, 200)
  await w.clock.advance(100)
  t.equal(later.answer?.status, 200)
})
