import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import t from 'tap'
import { createTorchServe } from '../../src/clients/torchserve.ts'
import { wallClock } from '../../src/clock.ts'
import type { PoolSeen } from '../../src/model.ts'
import { createTorchServeObserver } from '../../src/observe/torchserve.ts'
import { listen, opened, send, unknownPath } from '../clients/listen.ts'
import { counters, fault, standIn } from './stand-in.ts'

const captures = new URL('../captures/torchserve/', import.meta.url)
const capture = (name: string) => readFileSync(new URL(name, captures), 'utf8')
const timeoutMs = 2_000
const cpu = [{ version: '1.0', workers: [{ id: '9000', pid: 7 }] }]
const gpu = [{ version: '1.0', workers: [{ id: '9000', pid: 7, gpu: true }] }]
const legacy = capture('metrics_legacy_no_traffic.txt')

function setUp() {
  const { state, torchserve, clock, questions } = standIn()
  state.page = legacy
  const observer = createTorchServeObserver({ torchserve, clock, timeoutMs })
  const observe = (...urgent: string[]) => {
    state.nowMs += 1_000
    return observer.observe(new Set(urgent))
  }
  return { state, observe, questions }
}

const states = (pools: readonly PoolSeen[]) =>
  pools.map(({ key, description, counters: counted }) => [key, description.state, counted.state])
const requests = (pools: readonly PoolSeen[]) =>
  Object.fromEntries(
    pools.map(({ key, counters: counted }) => [
      key,
      counted.state === 'absent' ? undefined : counted.value.requests,
    ]),
  )

t.test('pools are named by model, and by version where there are several', async t => {
  const { state, observe } = setUp()
  state.models.set('one', cpu).set('two', [{ version: '1.0' }, { version: '2.0' }])
  state.defaults.set('two', '2.0')
  state.named = counters('one', 3) + counters('two', 5) + counters('two', 7, '1.0')
  const seen = await observe()
  t.match(seen, { atMs: state.nowMs, notes: [] })
  t.match(seen.torchserve, { state: 'fresh', value: { url: 'http://torchserve' } })
  t.strictSame(requests(seen.pools), { one: 3, 'two:1.0': 7, 'two:2.0': 5 })
})

t.test('only what is needed is asked of the metrics port', async t => {
  const names: (readonly string[])[] = []
  const { torchserve, clock, state } = standIn()
  state.named = counters('m', 1)
  const metrics = (asked: readonly string[]) => {
    names.push(asked)
    return torchserve.metrics(asked)
  }
  const observer = createTorchServeObserver({
    torchserve: { ...torchserve, metrics },
    clock,
    timeoutMs,
  })
  await observer.observe(new Set())
  t.strictSame(names, [
    [
      'ts_inference_requests_total',
      'ts_inference_latency_microseconds',
      'ts_queue_latency_microseconds',
      'PredictionTime',
    ],
  ])
})

t.test('no requests yet is zero, once the whole page shows the counters', async t => {
  const { state, observe, questions } = setUp()
  state.models.set('m', cpu)
  for (const page of [legacy, capture('prometheus_1_idle_no_traffic.txt')]) {
    state.page = page
    const { pools, notes } = await observe()
    t.strictSame(notes, [])
    t.strictSame(states(pools), [['m', 'fresh', 'fresh']])
    t.strictSame(requests(pools), { m: 0 })
  }
  t.ok(questions().includes('page'))
  state.named = counters('another', 4)
  t.strictSame(requests((await observe()).pools), { m: 0 })
  t.notOk(questions().includes('page'), 'not asked again once requests came')
})

t.test('an empty page is log mode, and no zero', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.page = ''
  const { pools, notes } = await observe()
  t.strictSame(states(pools), [['m', 'fresh', 'absent']])
  t.match(notes, [{ code: 'METRICS_MODE_LOG', message: /metrics_mode=prometheus/ }])
})

t.test('log mode after a restart makes the counters absent at once', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.named = counters('m', 4)
  t.strictSame(requests((await observe()).pools), { m: 4 })
  state.named = state.page = ''
  t.strictSame(states((await observe()).pools), [['m', 'fresh', 'absent']])
})

t.test('a page that leaves counters out, or is another program’s, is no zero either', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.named = counters('m', 4).replace(/^ts_queue.*\n/m, '')
  state.page = legacy.replaceAll('ts_queue_latency_microseconds counter', 'x histogram')
  const { pools, notes } = await observe()
  t.strictSame(states(pools), [['m', 'fresh', 'absent']])
  t.match(notes, [
    { code: 'METRICS_INCOMPLETE', message: /no counter ts_queue_latency_microseconds\. / },
  ])
  state.named = 'a b c\nd e f\n'
  t.match((await observe()).notes, [{ message: /2 lines of it cannot be read/ }])
})

t.test('counters that fell are passed on as they are', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.named = counters('m', 100)
  await observe()
  state.named = counters('m', 2)
  t.strictSame(requests((await observe()).pools), { m: 2 })
})

t.test('what cannot be read is stale with its age, and absent after 30 s', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.named = counters('m', 4)
  await observe()
  for (const question of ['metrics', 'list', 'describe m']) {
    state.faults.set(question, fault('TORCHSERVE_UNREACHABLE'))
  }
  state.nowMs += 4_000
  const stale = await observe()
  t.match(stale.pools, [
    {
      key: 'm',
      description: { state: 'stale', why: /^5 s old: GET http:.*UNREACHABLE/, value: { id: {} } },
      counters: { state: 'stale', value: { requests: 4 } },
    },
  ])
  t.match(stale.torchserve, { state: 'stale', why: /UNREACHABLE/ })
  t.match(stale.notes, [{ code: 'TORCHSERVE_UNREACHABLE' }], 'told once')
  state.nowMs += 30_000
  const absent = await observe()
  t.strictSame(states(absent.pools), [['m', 'absent', 'absent']], 'still listed')
  t.match(absent.torchserve, { state: 'absent', why: /^last seen 36 s ago: / })
  state.faults.clear()
  t.strictSame(states((await observe()).pools), [['m', 'fresh', 'fresh']])
})

t.test('a source that fails leaves the other one fresh', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.named = counters('m', 4)
  state.faults.set('metrics', new TypeError('a bug'))
  t.strictSame(states((await observe()).pools), [['m', 'fresh', 'absent']])
  state.faults.clear()
  await observe()
  state.faults.set('describe m', fault('TORCHSERVE_FAILED'))
  const { pools, torchserve } = await observe()
  t.strictSame(states(pools), [['m', 'stale', 'fresh']])
  t.equal(torchserve.state, 'fresh', 'it answered')
})

t.test('before anything is known', async t => {
  const { state, observe } = setUp()
  state.faults.set('list', fault('TORCHSERVE_UNREACHABLE'))
  state.faults.set('metrics', fault('TORCHSERVE_TLS'))
  const seen = await observe()
  t.match(seen, { torchserve: { state: 'absent' }, pools: [] })
  t.strictSame(
    seen.notes.map(({ code }) => code),
    ['TORCHSERVE_UNREACHABLE', 'TORCHSERVE_TLS'],
  )
  state.faults.clear()
  state.faults.set('describe m', fault('TORCHSERVE_FAILED'))
  state.models.set('m', cpu)
  t.strictSame(states((await observe()).pools), [['m', 'absent', 'absent']])
})

t.test('between two looks at a GPU its description keeps its time, and counters go on', async t => {
  const { state, observe } = setUp()
  state.models.set('m', gpu)
  state.named = counters('m', 4)
  await observe()
  await observe()
  const { pools, torchserve, notes } = await observe()
  t.strictSame(states(pools), [['m', 'fresh', 'fresh']])
  t.match(pools[0]?.description, { atMs: state.nowMs - 1_000 })
  t.equal(torchserve.state, 'fresh')
  t.strictSame(notes, [])
  t.strictSame(states((await observe('m')).pools), [['m', 'fresh', 'fresh']])
})

t.test('over HTTP, from what a TorchServe answered', async t => {
  const page = capture('prometheus_3_two_models_two_versions.txt')
  const all: unknown = JSON.parse(capture('describe_all_two_versions.json'))
  const one: unknown = JSON.parse(capture('describe_one.json'))
  const server = await listen(t, (request, response) => {
    const path = request.url?.split('?')[0]
    if (path === '/metrics') send(response, 200, page)
    else if (path === '/ping') send(response, 200, { status: 'Healthy' })
    else if (path === '/models') send(response, 200, { models: [{ modelName: 'sleep' }] })
    else if (path === '/models/sleep/all') send(response, 200, all)
    else if (path === '/models/sleep') send(response, 200, one)
    else send(response, 404, unknownPath)
  })
  const torchserve = client(server.url)
  t.teardown(() => torchserve.close())
  const processes = { isWorker: (pid: number) => pid === 1457, use: () => undefined }
  const { pools, notes } = await createTorchServeObserver({
    torchserve,
    processes,
    clock: wallClock,
    timeoutMs,
  }).observe(new Set())
  t.strictSame(notes, [])
  t.match(pools, [
    {
      key: 'sleep:1.0',
      description: {
        state: 'fresh',
        value: { isDefault: true, workers: [{ alive: true, memoryBytes: 25_751_552 }] },
      },
      counters: { state: 'fresh', value: { requests: 4, predictionMs: undefined } },
    },
    {
      key: 'sleep:2.0',
      description: { value: { isDefault: false, workers: [{ alive: false }], pending: 0 } },
      counters: { value: { requests: 1 } },
    },
  ])
})

t.test('a frozen TorchServe holds a look up for a bounded time, and is asked little', async t => {
  const server = await opened(
    t,
    createServer(socket => void socket.resume()),
  )
  const torchserve = client(server.url, 100)
  t.teardown(() => torchserve.close())
  const observer = createTorchServeObserver({ torchserve, clock: wallClock, timeoutMs: 100 })
  const start = performance.now()
  for (let look = 0; look < 3; look++) {
    const { torchserve: reach, pools, notes } = await observer.observe(new Set())
    t.equal(reach.state, 'absent')
    t.strictSame(pools, [])
    t.match(notes, [{ code: 'TORCHSERVE_TIMEOUT', message: /\/models/ }], 'once, not of each port')
    t.equal(notes.length, 1)
  }
  t.ok(performance.now() - start < 2_000)
  t.ok(server.most() <= 4)
})

function client(url: URL, limitMs = timeoutMs) {
  return createTorchServe(
    {
      managementUrl: url,
      metricsUrl: url,
      inferenceUrl: url,
      caFile: undefined,
      keyFile: undefined,
      timeoutMs: limitMs,
    },
    wallClock,
  )
}

t.test('a red /ping is told, and asked for only now and then', async t => {
  const { state, observe } = setUp()
  state.models.set('m', cpu)
  state.health = 'unhealthy'
  t.match((await observe()).notes, [{ code: 'TORCHSERVE_UNHEALTHY', message: /ping/ }])
  state.health = 'healthy'
  for (let second = 1; second < 5; second++) t.equal((await observe()).notes.length, 1)
  t.strictSame((await observe()).notes, [])
})
