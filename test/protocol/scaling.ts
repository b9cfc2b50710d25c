/** PUT /models/{model}: replies, what is stored, what happens to workers and to requests. */
import {
  counter,
  describe,
  manage,
  ping,
  predict,
  scale,
  settle,
  waitFor,
  within,
} from './calls.ts'
import type { Case, Scene } from './target.ts'

const PROCESSING = { status: 'Processing worker updates...' }
const BELOW_MIN = {
  code: 400,
  type: 'BadRequestException',
  message: 'max_worker cannot be less than min_worker.',
}

interface Row {
  from: number
  query: string
  status: number
  body: object
  /** minWorkers, maxWorkers and the length of the list afterwards. */
  after: [number, number, number]
}

const accepted = (from: number, query: string, after: Row['after']): Row => {
  return { from, query, status: 202, body: PROCESSING, after }
}

/** So many that some still wait when a slow machine has sent all of them. */
const JOBS = 10

const TABLE: readonly Row[] = [
  accepted(1, '?min_worker=3', [3, 3, 3]),
  accepted(3, '?max_worker=2', [1, 2, 2]),
  accepted(2, '', [1, 1, 1]),
  accepted(2, '?min_worker=nan', [1, 1, 1]),
  accepted(2, '?min_worker=3.0', [1, 1, 1]),
  accepted(1, '?min_worker=1&max_worker=4', [1, 4, 1]),
  accepted(1, '?min_worker=3&max_worker=4', [3, 4, 3]),
  accepted(2, '?min_worker=0&max_worker=0', [0, 0, 0]),
  accepted(2, '?min_worker=0', [0, 0, 0]),
  accepted(1, '/1.0?min_worker=2&max_worker=2', [2, 2, 2]),
  { from: 2, query: '?min_worker=4&max_worker=2', status: 400, body: BELOW_MIN, after: [2, 2, 2] },
  { from: 2, query: '?max_worker=-1', status: 400, body: BELOW_MIN, after: [2, 2, 2] },
  {
    from: 2,
    query: '?min_worker=-1',
    status: 500,
    body: {
      code: 500,
      type: 'IndexOutOfBoundsException',
      message: 'Index -1 out of bounds for length 0',
    },
    after: [-1, -1, 0],
  },
]

const putTable: Case = {
  name: 'the table of replies and results',
  run: async (t, target) => {
    for (const { from, query, status, body, after } of TABLE) {
      await scale(target, `table?min_worker=${from}&max_worker=${from}`)
      const reply = await scale(target, `table${query}`)
      const { minWorkers, maxWorkers, workers } = await describe(target, 'table')
      const what = `from ${from}, PUT ${query || 'without parameters'}`
      t.equal(reply.status, status, what)
      t.strictSame(JSON.parse(reply.text), body, `${what}: body`)
      t.equal(
        reply.headers['connection'],
        status < 400 ? 'keep-alive' : 'close',
        `${what}: connection`,
      )
      t.strictSame([minWorkers, maxWorkers, workers.length], after, `${what}: min, max, listed`)
    }
  },
}

const unknown: Case = {
  name: 'unknown models and versions, and calls that need the model API switched on',
  run: async (t, target) => {
    const replies = {
      model: await scale(target, 'zzz?min_worker=1&max_worker=1'),
      version: await scale(target, 'plain/9.9?min_worker=1&max_worker=1'),
      post: await manage(target, '/models?url=plain', { method: 'POST' }),
      delete: await manage(target, '/models/plain', { method: 'DELETE' }),
    }
    t.match(JSON.parse(replies.model.text), {
      code: 404,
      type: 'ModelNotFoundException',
      message: 'Model not found: zzz',
    })
    t.match(JSON.parse(replies.version.text), {
      code: 404,
      type: 'ModelVersionNotFoundException',
      message: 'Model version: 9.9 does not exist for model: plain',
    })
    t.match(JSON.parse(replies.post.text), { code: 405, type: 'MethodNotAllowedException' })
    t.match(JSON.parse(replies.delete.text), { code: 405, type: 'MethodNotAllowedException' })
    t.equal((await describe(target, 'plain')).workers.length, 1, 'nothing has changed')
  },
}

const lastGoesFirst: Case = {
  name: 'the last of the list goes first, at once; ids are never used again',
  run: async (t, target) => {
    const before = await settle(target, 'plain', 4)
    await scale(target, 'plain?min_worker=2&max_worker=2')
    const after = await describe(target, 'plain')
    const ids = before.workers.map(({ id }) => id)
    t.strictSame(
      after.workers.map(({ id }) => id),
      ids.slice(0, 2),
      'the list is short right after the 202',
    )
    for (const { pid } of before.workers.slice(2))
      await waitFor(target, `process ${pid} gone`, 2000, async () => !target.alive(pid))
    await scale(target, 'plain?min_worker=3&max_worker=3')
    const grown = await describe(target, 'plain')
    t.equal(grown.workers.length, 3, 'a worker that loads is listed')
    t.equal(grown.workers[2]?.status, 'UNLOADING', 'and called UNLOADING')
    t.notOk(ids.includes(grown.workers[2]?.id ?? ''), 'under a new id')
    await settle(target, 'plain', 1)
  },
}

const zeroAndWake: Case = {
  name: 'at zero requests are refused and counted; the first after the wake-up call waits for the load',
  run: async (t, target) => {
    await scale(target, 'plain?min_worker=0&max_worker=0')
    const before = (await counter(target, 'ts_inference_requests_total', 'plain')) ?? 0
    const refused = await predict(target, 'plain', 'while-at-zero')
    t.equal(refused.status, 503)
    t.match(refused.text, 'has no worker to serve inference request')
    t.equal(refused.headers['connection'], 'close')
    t.equal(await counter(target, 'ts_inference_requests_total', 'plain'), before + 1)
    t.equal((await describe(target, 'plain')).jobQueueStatus.pendingRequests, 0, 'it is not queued')
    t.equal(await ping(target), 200, 'healthy all the same')
    t.match(JSON.parse((await manage(target, '/v1/models/plain')).text), { ready: false })
    await scale(target, 'plain?min_worker=1&max_worker=1')
    t.equal((await predict(target, 'plain', 'while-waking')).status, 200)
    t.match(JSON.parse((await manage(target, '/v1/models/plain')).text), { ready: true })
  },
}

const zeroWithWork: Case = {
  name: 'to zero with jobs waiting: they freeze, and are answered after the wake-up call',
  run: async (t, target) => {
    await settle(target, 'plain', 1)
    const before = (await counter(target, 'ts_inference_requests_total', 'plain')) ?? 0
    const ids = Array.from({ length: JOBS }, (_, i) => `frozen-${i}`)
    const waiting = ids.map(id => predict(target, 'plain', id))
    await waitFor(target, 'all to arrive', 2000, async () => {
      return (await counter(target, 'ts_inference_requests_total', 'plain')) === before + JOBS
    })
    await scale(target, 'plain?min_worker=0&max_worker=0')
    t.equal((await predict(target, 'plain', 'late')).status, 503, 'new ones are refused')
    const queued = (await describe(target, 'plain')).jobQueueStatus.pendingRequests
    t.ok(queued >= 1 && queued <= JOBS, `${queued} wait: those, and perhaps the one that was cut`)
    t.equal(await within(target, 1000, Promise.all(waiting)), 'none', 'they are not answered')
    const later = (await describe(target, 'plain')).jobQueueStatus.pendingRequests
    t.equal(later, queued, 'they freeze')
    await scale(target, 'plain?min_worker=1&max_worker=1')
    const replies = await Promise.all(waiting)
    const statuses = replies.map(({ status }) => status)
    t.ok(statuses.filter(status => status === 200).length >= JOBS - 1, `answered ${statuses.join()}`)
  },
}

const cutInFlight: Case = {
  name: 'a request whose worker is removed is answered, with 500 or by another worker',
  run: async (t, target) => {
    await settle(target, 'plain', 2)
    const inFlight = [predict(target, 'plain', 'cut-a'), predict(target, 'plain', 'cut-b')]
    await target.clock.sleep(50)
    await scale(target, 'plain?min_worker=1&max_worker=1')
    const replies = await Promise.all(inFlight)
    for (const { status, text } of replies) {
      if (status === 200) continue
      t.ok(status === 500 || status === 507, `status ${status}`)
      t.match(JSON.parse(text), { type: 'InternalServerException', message: 'Worker died.' })
    }
    t.ok(
      replies.some(({ status }) => status === 200),
      'the other worker’s is served',
    )
  },
}

const orphans: Case = {
  name: 'minimum 0 with a maximum above it loses sight of workers, which go on serving',
  run: async (t, target) => {
    await settle(target, 'orphans', 3)
    await scale(target, 'orphans?min_worker=0&max_worker=2')
    t.strictSame((await describe(target, 'orphans')).workers, [], 'none is listed')
    t.equal((await predict(target, 'orphans', 'unlisted')).status, 503)
    await settle(target, 'orphans', 1)
    const beganMs = target.clock.now()
    const replies = [1, 2, 3].map(n => predict(target, 'orphans', `orphan-${n}`))
    for (const { status } of await Promise.all(replies)) t.equal(status, 200)
    const tookMs = target.clock.now() - beganMs
    t.ok(
      tookMs < 2 * 400,
      `one listed worker served three requests of 400 ms in ${Math.round(tookMs)} ms`,
    )
  },
}

const stoppedWorker: Case = {
  name: 'a stopped worker keeps the job it was given; the others go on',
  run: async (t, target) => {
    const { workers } = await settle(target, 'plain', 2)
    const pid = workers[1]?.pid ?? 0
    const before = (await counter(target, 'ts_inference_requests_total', 'plain')) ?? 0
    target.signal(pid, 'SIGSTOP')
    const both = [predict(target, 'plain', 'stopped-a'), predict(target, 'plain', 'stopped-b')]
    await waitFor(target, 'both to arrive', 2000, async () => {
      return (await counter(target, 'ts_inference_requests_total', 'plain')) === before + 2
    })
    await Promise.race(both)
    t.equal((await predict(target, 'plain', 'stopped-c')).status, 200, 'the other worker serves')
    const all = Promise.all(both)
    t.equal(await within(target, 300, all), 'none', 'one of the two is not answered')
    t.equal((await describe(target, 'plain')).workers[1]?.status, 'READY', 'nothing tells of it')
    target.signal(pid, 'SIGCONT')
    for (const { status } of await all) t.equal(status, 200, 'answered once the worker goes on')
    await settle(target, 'plain', 1)
  },
}

export const scaling: Scene = {
  name: 'scaling',
  models: [
    // Of workers that go while they start, as in the table, TorchServe may forget one that lives on and serves.
    { name: 'table' },
    { name: 'plain', serviceMs: 200 },
    { name: 'orphans', serviceMs: 400 },
  ],
  cases: [
    putTable,
    unknown,
    lastGoesFirst,
    zeroAndWake,
    zeroWithWork,
    cutInFlight,
    orphans,
    stoppedWorker,
  ],
}
