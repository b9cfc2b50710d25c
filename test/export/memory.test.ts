/** Goal: the pod's memory can be told from outside: as numbers, as a story, as lines. Method: ticks in, what is served out. */
import t from 'tap'
import { createHistory, POINTS_MAX } from '../../src/export/history.ts'
import { createMetrics } from '../../src/export/metrics.ts'
import { createReport, type Line } from '../../src/export/report.ts'
import type { ResizeOutcome, Worker } from '../../src/model.ts'
import { MIB, resizeOf, tickOf, type TickSketch } from './ticks.ts'

async function scrape(...ticks: readonly TickSketch[]) {
  const metrics = createMetrics({ mode: 'act', version: '1.2.3', late: () => undefined })
  for (const tick of ticks) metrics.record(tickOf(tick))
  const lines = (await metrics.render()).split('\n')
  return (series: string) =>
    lines
      .find(line => line.startsWith(`${series} `))
      ?.split(' ')
      .at(-1)
}

const accepted = { kind: 'accepted', action: resizeOf(640, 960), atMs: 1_500 } as const
const failed: ResizeOutcome = {
  kind: 'failed',
  action: resizeOf(640, 960),
  atMs: 1_500,
  code: 'RESIZE_QUOTA',
  message: 'PATCH …/resize: exceeded quota: mem. Raise the quota.',
  ceiling: { requestBytes: undefined, limitBytes: undefined },
  floor: { requestBytes: undefined, limitBytes: undefined },
  retryAfterMs: undefined,
}
const worker = (id: string, use: Worker['use']): Worker => ({
  id,
  pid: 1,
  ready: true,
  alive: true,
  gpu: false,
  use,
  memoryBytes: undefined,
})

t.test('the pod’s memory is shown in bytes, and what is not known is not there', async t => {
  const value = await scrape({ atMs: 1_000, memory: {}, podDemand: 1.75 })
  const expected = {
    request: 640,
    limit: 640,
    granted: 640,
    needed: 600,
    used: 520,
    working: 500,
    base: 300,
    cap: 4_096,
  }
  for (const [name, mib] of Object.entries(expected))
    t.equal(value(`stoker_memory_${name}_bytes`), String(mib * MIB), name)
  t.equal(value('stoker_memory_ceiling_bytes'), undefined)
  t.equal(value('stoker_pod_demand'), '1.75')

  const inputs = { usage: null, working: null, granted: null, wanted: null, desired: null }
  const dark = await scrape(
    { atMs: 0, memory: {}, podDemand: 1 },
    { atMs: 1_000, memory: { inputs } },
  )
  for (const name of ['request', 'limit', 'granted', 'needed', 'used', 'working'])
    t.equal(dark(`stoker_memory_${name}_bytes`), undefined, name)
  t.equal(dark('stoker_pod_demand'), undefined, 'an old number is not a number')
  const nowhere = await scrape({ atMs: 0, pools: [{}] })
  t.equal(nowhere('stoker_memory_cap_bytes'), undefined)
  t.equal(nowhere('stoker_resizes_total{kind="raise",outcome="failed"}'), undefined)
})

t.test('resizes are counted, and what alerts watch starts at 0', async t => {
  const raise = { reason: 'more_workers', action: resizeOf(640, 960) } as const
  const before = await scrape({ atMs: 0, memory: {} })
  t.equal(before('stoker_resizes_total{kind="raise",outcome="failed"}'), '0')
  t.equal(before('stoker_resizes_total{kind="raise",outcome="accepted"}'), '0')
  const value = await scrape(
    { atMs: 1_000, memory: raise },
    { atMs: 2_000, memory: raise, resized: failed },
    { atMs: 3_000, memory: {}, resized: accepted },
  )
  t.equal(value('stoker_resizes_total{kind="raise",outcome="failed"}'), '1')
  t.equal(value('stoker_resizes_total{kind="raise",outcome="accepted"}'), '1')
  t.equal(value('stoker_resize_decisions_total{reason="more_workers"}'), '2')
  t.equal(value('stoker_resize_decisions_total{reason="fits"}'), '1')
})

t.test('each worker’s memory and CPU are shown where they are seen', async t => {
  const workers = [worker('9000', { bytes: 300 * MIB, cpuMs: 1_250 }), worker('9001', undefined)]
  const of = (id: string) => `{model="resnet",version="1.0",worker="${id}"}`
  const inputs = { workerBytes: 310 * MIB, usable: 5 }
  const value = await scrape({ atMs: 0, pools: [{ workers, inputs }] })
  t.equal(value(`stoker_worker_memory_bytes${of('9000')}`), String(300 * MIB))
  t.equal(value(`stoker_worker_cpu_seconds_total${of('9000')}`), '1.25')
  t.equal(value(`stoker_worker_memory_bytes${of('9001')}`), undefined)
  t.equal(value('stoker_worker_bytes{model="resnet",version="1.0"}'), String(310 * MIB))
  t.equal(value('stoker_workers_usable{model="resnet",version="1.0"}'), '5')
  const old = await scrape({ atMs: 0, pools: [{ workers, description: 'stale' }] })
  t.equal(old(`stoker_worker_memory_bytes${of('9000')}`), undefined, 'not from an old look')

  const many = Array.from({ length: 500 }, (_, id) => worker(`w${id}`, { bytes: 1, cpuMs: 1 }))
  const bounded = await scrape({ atMs: 0, pools: [{ workers: many }] })
  t.equal(bounded(`stoker_worker_memory_bytes${of('w127')}`), '1')
  t.equal(bounded(`stoker_worker_memory_bytes${of('w128')}`), undefined)
})

function historyOf(...ticks: readonly TickSketch[]) {
  const history = createHistory()
  for (const tick of ticks) history.record(tickOf(tick))
  return history
}

t.test('a change stands with what became of it, a hold is folded', async t => {
  const raise = { reason: 'more_workers', action: resizeOf(640, 960) } as const
  const history = historyOf(
    { atMs: 1_000, memory: {} },
    { atMs: 2_000, memory: {} },
    { atMs: 3_000, memory: raise },
    { atMs: 4_000, memory: { reason: 'confirming' }, resized: accepted },
    { atMs: 5_000, memory: {} },
  )
  t.match(history.resizes(), [
    { reason: 'fits', label: 'Fits' },
    { reason: 'confirming' },
    { reason: 'more_workers', label: 'Raising', outcomes: [{ kind: 'accepted' }] },
    { reason: 'fits', times: 2, atMs: 1_000, lastMs: 2_000 },
  ])
  const { memory, resizes } = history.state(3_000)
  t.same(
    resizes.map(({ reason }) => reason),
    ['fits', 'confirming', 'more_workers'],
  )
  t.match(memory, { reason: 'fits', because: 'The workers need 600 MiB.', action: null })
  const mib = (...amounts: number[]) => amounts.map(each => each * MIB)
  t.same(memory?.points, [
    [4_000, ...mib(640, 640, 640, 520, 600), null],
    [5_000, ...mib(640, 640, 640, 520, 600), null],
  ])
})

t.test('where nothing is known of memory there is none, and points are bounded', async t => {
  t.match(historyOf({ atMs: 1_000, pools: [{}] }).state(0), { memory: null, resizes: [] })
  const long = Array.from({ length: POINTS_MAX + 50 }, (_, at) => ({ atMs: at + 1, memory: {} }))
  t.equal(historyOf(...long).state(0).memory?.points.length, POINTS_MAX)
})

function reporting() {
  const lines: Line[] = []
  const report = createReport(line => lines.push(line))
  return (sketch: Omit<TickSketch, 'atMs'>) => {
    report(tickOf({ atMs: 0, ...sketch }))
    return lines.splice(0)
  }
}

t.test('changes, failures and what stands in the way are told once', async t => {
  const tell = reporting()
  const raise = { reason: 'more_workers', because: 'More.', action: resizeOf(640, 960) } as const
  t.match(tell({ memory: raise }), [{ level: 'info', text: 'memory: More.' }])
  t.same(tell({ memory: raise }), [], 'the same advice')
  t.same(tell({ memory: { reason: 'confirming' }, resized: accepted }), [])
  t.same(tell({ memory: {} }), [])
  t.match(tell({ memory: { reason: 'paused' }, resized: failed }), [
    { level: 'warn', text: /exceeded quota/, fields: { code: 'RESIZE_QUOTA' } },
  ])
  t.same(tell({ memory: { reason: 'paused' }, resized: failed }), [], 'the same failure')
  t.equal(tell({ memory: {}, resized: { ...failed, code: 'RESIZE_RBAC' } }).length, 1)
  for (const reason of ['limited', 'unsupported', 'peer'] as const) {
    t.match(tell({ memory: { reason, because: 'No.' } }), [{ text: 'memory: No.' }])
    t.same(tell({ memory: { reason, because: 'Still no.' } }), [])
  }
  const unfit = { kind: 'unfit', action: accepted.action, atMs: 1, why: 'it went' } as const
  t.match(tell({ memory: {}, resized: unfit }), [{ text: 'memory: nothing was sent: it went.' }])
  t.same(tell({}), [])
})
