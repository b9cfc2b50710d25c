/** Jobs: the queue and its end, decoys (DESCRIBE jobs), and answers out of order. */
import { connect } from 'node:net'
import { counter, describe, manage, metrics, predict, settle, waitFor, within } from './calls.ts'
import type { Case, Scene, Target } from './target.ts'

const DECOY = '?customized=true'

const queueFull: Case = {
  name: 'a full queue refuses with the same words as a model at zero; refused ones are counted',
  run: async (t, target) => {
    const requests = Array.from({ length: 12 }, (_, n) => predict(target, 'short', `q${n}`))
    const replies = await Promise.all(requests)
    const refused = replies.filter(({ status }) => status === 503)
    const served = replies.filter(({ status }) => status === 200)
    t.equal(served.length + refused.length, 12, 'nothing else')
    // The worker may or may not have taken its first job before the last one came.
    t.ok(served.length === 5 || served.length === 6, `${served.length} served with a queue of 5`)
    for (const { text } of refused)
      t.match(JSON.parse(text), {
        code: 503,
        type: 'ServiceUnavailableException',
        message: 'Model "short" has no worker to serve inference request.',
      })
    t.equal(await counter(target, 'ts_inference_requests_total', 'short'), 12)
  },
}

const queueLength: Case = {
  name: 'the queue’s length leaves out what executes; both numbers make its size',
  run: async (t, target) => {
    const requests = [1, 2, 3].map(n => predict(target, 'short', `l${n}`))
    const status = await waitFor(target, 'two jobs waiting', 1000, async () => {
      const { jobQueueStatus } = await describe(target, 'short')
      return jobQueueStatus.pendingRequests === 2 && jobQueueStatus
    })
    t.equal(status.remainingCapacity, 3)
    for (const { status: code } of await Promise.all(requests)) t.equal(code, 200)
  },
}

const abandoned: Case = {
  name: 'a request whose client has gone is executed all the same',
  run: async (t, target) => {
    const before = (await counter(target, 'ts_inference_latency_microseconds', 'short')) ?? 0
    const first = predict(target, 'short', 'stays')
    const socket = connect(Number(target.inferenceUrl.port), target.inferenceUrl.hostname)
    socket.write('POST /predictions/short HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ngone')
    await waitFor(target, 'it in the queue', 1000, async () => {
      return (await describe(target, 'short')).jobQueueStatus.pendingRequests === 1
    })
    socket.destroy()
    await first
    await waitFor(target, 'it out of the queue', 3000, async () => {
      return (await describe(target, 'short')).jobQueueStatus.pendingRequests === 0
    })
    await waitFor(target, 'both in the latency sum', 3000, async () => {
      const now = (await counter(target, 'ts_inference_latency_microseconds', 'short')) ?? 0
      return now - before > 2 * 250_000
    })
    t.pass('executed and counted')
  },
}

const COUNTERS = [
  'ts_inference_requests_total',
  'ts_inference_latency_microseconds',
  'ts_queue_latency_microseconds',
]

const decoyUncounted: Case = {
  name: 'a decoy occupies a worker like a request and moves none of the three counters',
  run: async (t, target) => {
    await predict(target, 'batch', 'so that there are counters')
    const before = await metrics(target, ...COUNTERS)
    const beganMs = target.clock.now()
    const reply = await manage(target, `/models/batch${DECOY}`)
    t.equal(reply.status, 200)
    t.ok('customizedMetadata' in JSON.parse(reply.text)[0], 'it answers with the description')
    t.ok(target.clock.now() - beganMs > 250, 'after a whole service time')
    t.equal(await metrics(target, ...COUNTERS), before)
  },
}

const decoyAlone: Case = {
  name: 'a decoy never shares a batch, nor joins one that is being assembled',
  run: async (t, target) => {
    const requests = [predict(target, 'batch', 'b1'), predict(target, 'batch', 'b2')]
    await target.clock.sleep(50)
    const decoy = manage(target, `/models/batch${DECOY}`)
    await target.clock.sleep(20)
    requests.push(predict(target, 'batch', 'b3'))
    const [described, ...replies] = await Promise.all([decoy, ...requests])
    t.equal(described.status, 200)
    for (const { status } of replies) t.equal(status, 200)
    // b1 and b2 come on two connections: either may be first in their batch.
    const calls = target.calls?.('batch').slice(-3)
    const sorted = calls?.map(ids => ids.toSorted())
    if (sorted) t.match(sorted, [['b1', 'b2'], ['decoy'], ['b3']], 'three calls of the handler')
  },
}

const decoyRefused: Case = {
  name: 'a decoy to a model without workers is refused; one that the handler raises on is an error, and the worker lives',
  run: async (t, target) => {
    const [before] = (await describe(target, 'picky')).workers
    const raised = await manage(target, `/models/picky${DECOY}`)
    t.match(JSON.parse(raised.text), {
      code: 503,
      type: 'InternalServerException',
      message: 'Prediction failed',
    })
    t.equal((await predict(target, 'picky', 'after')).status, 200)
    t.strictSame((await describe(target, 'picky')).workers[0]?.pid, before?.pid)
    await manage(target, '/models/picky?min_worker=0&max_worker=0', { method: 'PUT' })
    const refused = await manage(target, `/models/picky${DECOY}`)
    t.match(JSON.parse(refused.text), { code: 503, type: 'ServiceUnavailableException' })
    await settle(target, 'picky', 1)
  },
}

const victimHoldsDecoy: Case = {
  name: 'a worker stopped while idle takes a decoy; removed with it, nobody’s request is harmed',
  run: async (t, target) => {
    const { workers } = await settle(target, 'short', 2)
    const victim = workers[1]?.pid ?? 0
    target.signal(victim, 'SIGSTOP')
    const decoys = [1, 2].map(() => manage(target, `/models/short${DECOY}`, { timeoutMs: 8000 }))
    await Promise.race(decoys)
    t.equal(await within(target, 500, Promise.all(decoys)), 'none', 'one of two decoys stays open')
    t.equal(
      (await describe(target, 'short')).jobQueueStatus.pendingRequests,
      0,
      'and not in the queue',
    )
    await manage(target, '/models/short?min_worker=1&max_worker=1', { method: 'PUT' })
    t.equal((await predict(target, 'short', 'meanwhile')).status, 200)
    const statuses = (await Promise.all(decoys)).map(({ status }) => status)
    const known = statuses.every(status => status === 200 || status === 500 || status === 507)
    t.ok(known, `the decoys got ${statuses.join(' and ')}`)
    await waitFor(target, 'the victim gone', 2000, async () => !target.alive(victim))
  },
}

const outOfOrder: Case = {
  name: 'of two calls on one connection the second is answered first when the first is a decoy',
  run: async (t, target) => {
    const text = await pipelined(target, [`/models/batch${DECOY}`, '/models/short'])
    const short = text.indexOf('"modelName": "short"')
    const batch = text.indexOf('"modelName": "batch"')
    t.ok(short >= 0 && batch > short, 'answers change places')
  },
}

/** Everything that came back on one connection until there were as many replies as calls. */
async function pipelined(target: Target, paths: readonly string[]): Promise<string> {
  const socket = connect(Number(target.managementUrl.port), target.managementUrl.hostname)
  socket.setEncoding('utf8')
  socket.write(paths.map(path => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (text.split('"jobQueueStatus"').length > paths.length) break
  }
  return text
}

export const queueing: Scene = {
  name: 'queueing',
  models: [
    { name: 'short', serviceMs: 300, queueSize: 5 },
    { name: 'batch', serviceMs: 300, batchSize: 8, maxBatchDelayMs: 300 },
    { name: 'picky', serviceMs: 50, decoy: 'raises' },
  ],
  cases: [
    queueFull,
    queueLength,
    abandoned,
    decoyUncounted,
    decoyAlone,
    decoyRefused,
    victimHoldsDecoy,
    outOfOrder,
  ],
}
