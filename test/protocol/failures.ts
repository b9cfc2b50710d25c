/** Loads that fail, workers that die, a server that does not answer. */
import { call } from '../real/http.ts'
import { describe, ping, predict, scale, settle, waitFor, within } from './calls.ts'
import type { Case, FailMode, Scene } from './target.ts'

const failedLoad = (mode: FailMode): Case => ({
  name: `a load that fails (${mode}) is tried again under the same id with another pid; the roll-back is clean`,
  run: async (t, target) => {
    await settle(target, 'fragile', 1)
    target.failLoads('fragile', 2, mode)
    await scale(target, 'fragile?min_worker=2&max_worker=2')
    const first = await waitFor(target, 'the first process', 3000, async () => {
      const worker = (await describe(target, 'fragile')).workers[1]
      return worker && worker.pid > 0 && worker
    })
    const again = await waitFor(target, 'another pid', 6000, async () => {
      const worker = (await describe(target, 'fragile')).workers[1]
      t.equal(worker?.status, 'UNLOADING')
      return worker && worker.pid > 0 && worker.pid !== first.pid && worker
    })
    t.strictSame([again.id, again.startTime], [first.id, first.startTime], 'id and start time stay')
    t.equal(await ping(target), 200, 'healthy while it is tried again')
    await scale(target, 'fragile?min_worker=1&max_worker=1')
    const { workers } = await describe(target, 'fragile')
    t.strictSame(
      workers.map(({ status }) => status),
      ['READY'],
      'rolled back at once',
    )
    target.failLoads('fragile', undefined)
    const grown = await settle(target, 'fragile', 2)
    t.not(grown.workers[1]?.id, first.id, 'the next load has a new id')
    await settle(target, 'fragile', 1)
  },
})

const hangingLoad: Case = {
  name: 'a load that hangs keeps its pid; the roll-back kills it',
  run: async (t, target) => {
    await settle(target, 'fragile', 1)
    target.failLoads('fragile', 2, 'hang')
    await scale(target, 'fragile?min_worker=2&max_worker=2')
    const pid = await waitFor(target, 'its process', 3000, async () => {
      const worker = (await describe(target, 'fragile')).workers[1]
      return worker && worker.pid > 0 && worker.pid
    })
    await target.clock.sleep(2500)
    t.match((await describe(target, 'fragile')).workers[1], { pid, status: 'UNLOADING' })
    await scale(target, 'fragile?min_worker=1&max_worker=1')
    await waitFor(target, 'the process gone', 2000, async () => !target.alive(pid))
    target.failLoads('fragile', undefined)
  },
}

const unhealthy: Case = {
  name: 'health turns red maxRetryTimeoutInSec after the first failure, and green with the roll-back',
  run: async (t, target) => {
    await settle(target, 'red', 1)
    target.failLoads('red', 2)
    await scale(target, 'red?min_worker=2&max_worker=2')
    const beganMs = target.clock.now()
    await waitFor(target, '/ping red', 12_000, async () => (await ping(target)) === 500)
    const tookMs = target.clock.now() - beganMs
    t.ok(tookMs > 3000, `red after ${Math.round(tookMs)} ms, not before 3 s of retries`)
    await scale(target, 'red?min_worker=1&max_worker=1')
    t.equal(await ping(target), 200)
    target.failLoads('red', undefined)
    await settle(target, 'red', 2)
    await settle(target, 'red', 1)
  },
}

const deadOnly: Case = {
  name: 'a model whose only worker is dead queues its requests for ever; only zero and then one repairs it',
  run: async (t, target) => {
    await scale(target, 'dying?min_worker=0&max_worker=0')
    target.failLoads('dying', 1)
    await scale(target, 'dying?min_worker=1&max_worker=1')
    await waitFor(target, '/ping red', 6000, async () => (await ping(target)) === 500)
    // One more try may be under way when health turns red.
    await target.clock.sleep(4000)
    target.failLoads('dying', undefined)
    const waiting = predict(target, 'dying', 'to-the-dead')
    t.equal(await within(target, 500, waiting), 'none', 'no answer, not even a refusal')
    t.equal((await describe(target, 'dying')).jobQueueStatus.pendingRequests, 1)
    await scale(target, 'dying?min_worker=1&max_worker=1')
    await target.clock.sleep(2500)
    t.equal(
      (await describe(target, 'dying')).workers[0]?.status,
      'UNLOADING',
      'asking again helps not',
    )
    await scale(target, 'dying?min_worker=0&max_worker=0')
    await scale(target, 'dying?min_worker=1&max_worker=1')
    t.equal((await waiting).status, 200, 'then the waiting request is served')
    t.equal(await ping(target), 200)
  },
}

const crash: Case = {
  name: 'a worker killed by kill -9 answers that it died and is back with another pid',
  run: async (t, target) => {
    const before = await settle(target, 'fragile', 1)
    const victim = before.workers[0]
    const inFlight = predict(target, 'fragile', 'in-the-victim')
    await target.clock.sleep(100)
    target.signal(victim?.pid ?? 0, 'SIGKILL')
    const reply = await inFlight
    // 507 when the exit code is seen before the connection is missed, else 500.
    t.ok(reply.status === 507 || reply.status === 500, `status ${reply.status}`)
    t.match(JSON.parse(reply.text), { code: reply.status, message: 'Worker died.' })
    const back = await waitFor(target, 'READY again', 5000, async () => {
      const worker = (await describe(target, 'fragile')).workers[0]
      return worker?.status === 'READY' && worker.pid !== victim?.pid && worker
    })
    t.equal(back.id, victim?.id, 'under the same id')
    t.equal((await predict(target, 'fragile', 'after-the-crash')).status, 200)
  },
}

const frozen: Case = {
  name: 'a frozen server accepts connections and says nothing; the backlog is answered afterwards',
  run: async (t, target) => {
    target.freeze()
    const urls = [
      new URL('/ping', target.inferenceUrl),
      new URL('/models/fragile', target.managementUrl),
      new URL('/metrics', target.metricsUrl),
    ]
    const calls = urls.map(url => call(url, { timeoutMs: 10_000 }))
    t.equal(await within(target, 500, Promise.race(calls)), 'none')
    target.thaw()
    for (const { status } of await Promise.all(calls)) t.equal(status, 200)
  },
}

export const failures: Scene = {
  name: 'failures',
  models: [
    { name: 'fragile', serviceMs: 300, maxRetrySec: 3 },
    // Rolled back between two tries, of which the next succeeds: TorchServe keeps that worker and no longer lists it.
    { name: 'red', maxRetrySec: 3 },
    { name: 'dying', serviceMs: 50, maxRetrySec: 1 },
  ],
  cases: [
    failedLoad('plain'),
    failedLoad('cuda'),
    failedLoad('exit'),
    failedLoad('kill'),
    hangingLoad,
    unhealthy,
    deadOnly,
    crash,
    frozen,
  ],
}
