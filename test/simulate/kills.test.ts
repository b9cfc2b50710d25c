import t from 'tap'
import { world } from './world.ts'

/** Scales one worker to zero and back while `count` requests are with it; how often each ended how, over many seeds. */
async function outcomes(
  count: number,
  afterMs: number,
  model: { batchSize?: number; maxBatchDelayMs?: number },
): Promise<Map<string, number>> {
  const ended = new Map<string, number>()
  for (let seed = 1; seed <= 60; seed++) {
    const w = await world({ serviceMs: 100, ...model }, { seed })
    const all = w.requests(count)
    await w.clock.advance(afterMs)
    await w.scale(0)
    void w.scale(1)
    await w.clock.advance(3_000)
    const how = all
      .map(({ answer }) => (answer ? `${answer.status}x${answer.executions}` : 'hangs'))
      .toSorted()
      .join(' ')
    ended.set(how, (ended.get(how) ?? 0) + 1)
  }
  return ended
}

t.test('of requests that execute in a killed worker some fail, the others run twice', async t => {
  const ended = await outcomes(1, 50, {})
  t.same(new Set(ended.keys()), new Set(['500x1', '200x2']))
  const share = (ended.get('500x1') ?? 0) / 60
  t.ok(share > 0.25 && share < 0.55, `${share} failed`)
  t.same(await outcomes(1, 50, {}), ended, 'the same with the same seeds')
})

t.test('a batch that executes shares its worker’s fate', async t => {
  const ended = await outcomes(3, 150, { batchSize: 8, maxBatchDelayMs: 100 })
  t.same(new Set(ended.keys()), new Set(['500x1 500x1 500x1', '200x2 200x2 200x2']))
})

t.test('of a batch under assembly one request or all of them never get an answer', async t => {
  const ended = await outcomes(3, 50, { batchSize: 8, maxBatchDelayMs: 500 })
  t.same(new Set(ended.keys()), new Set(['hangs hangs hangs', '200x1 200x1 hangs']))
  t.same(await outcomes(1, 50, { batchSize: 8, maxBatchDelayMs: 500 }), new Map([['hangs', 60]]))
})

t.test('re-queued requests go before those that wait, and are counted once', async t => {
  for (let seed = 1; ; seed++) {
    const w = await world({ workers: 2 }, { seed })
    const executing = w.requests(2)
    const waiting = w.requests(2)
    await w.clock.advance(50)
    await w.scale(1)
    await w.clock.advance(1_000)
    const again = executing.find(({ answer }) => answer?.executions === 2)
    if (!again) continue
    t.ok((again.atMs ?? 0) < Math.min(...waiting.map(({ atMs }) => atMs ?? 0)))
    t.match(w.core.page(new Set(['ts_inference_requests_total'])), / 4\.0\n$/)
    return
  }
})

t.test('a worker that is killed from outside comes back by itself', async t => {
  const w = await world({ startMs: 300, loadMs: 100 })
  const { pid, id, startTime } = w.worker(0)
  const executing = w.request()
  await w.clock.advance(50)
  w.core.kill(pid)
  await w.clock.advance(1)
  t.match(executing.answer, { status: 507, message: 'Worker died.' })
  t.match(w.worker(0), { status: 'UNLOADING', pid, id })
  await w.clock.advance(1_390)
  t.match(w.worker(0), { status: 'UNLOADING', id })
  await w.clock.advance(20)
  t.match(w.worker(0), { status: 'READY', id, startTime })
  t.not(w.worker(0).pid, pid)
  t.match(await w.clock.until(w.core.infer({ model: 'm' })), { status: 200 })
})

t.test('a request that takes too long kills its worker', async t => {
  const w = await world({ serviceMs: 5_000, responseTimeoutSec: 2 })
  const { pid } = w.worker(0)
  const slow = w.request()
  await w.clock.advance(2_001)
  t.match(slow, { answer: { status: 500, message: 'Worker died.' } })
  t.equal(w.core.processes.look(pid), 'gone')
  await w.clock.advance(1_500)
  t.match(w.worker(0), { status: 'READY' })
})

t.test('what was under way when TorchServe ends is never answered', async t => {
  const w = await world({ workers: 2 })
  await w.clock.until(w.core.infer({ model: 'm' }))
  const { pid } = w.worker(1)
  const all = w.requests(4)
  await w.clock.advance(10)
  w.core.stop()
  await w.clock.advance(1_000)
  t.same(
    all.map(({ answer }) => answer?.status),
    [0, 0, 0, 0],
  )
  t.equal(w.core.processes.look(pid), 'gone')
  t.equal(w.clock.sleeping, 0, 'nothing goes on')
  w.core.start()
  await w.clock.advance(1_000)
  t.same(w.ids, ['9000', '9001'])
  t.not(w.worker(1).pid, pid)
  t.notMatch(w.core.page(new Set()), /ts_inference_requests_total{/)
})
