/** Goal: what Prometheus reads is what was seen, and what was not seen is not there. Method: ticks in, exposition text out. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { createMetrics, metricsMarkdown } from '../../src/export/metrics.ts'
import type { Tick } from '../../src/export/tick.ts'
import type { PodState } from '../../src/model/pod.ts'
import { actionOf, tickOf, type TickSketch } from './ticks.ts'

async function scrape(...ticks: readonly TickSketch[]) {
  const metrics = createMetrics({ mode: 'act', version: '1.2.3', late: () => undefined })
  for (const tick of ticks) metrics.record(tickOf(tick))
  const lines = (await metrics.render()).split('\n')
  return {
    lines,
    value: (series: string) =>
      lines
        .find(line => line.startsWith(`${series} `))
        ?.split(' ')
        .at(-1),
    has: (name: string) =>
      lines.some(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`)),
  }
}

const resnet = '{model="resnet",version="1.0"}'

t.test('before the first tick there is only what is known of the agent itself', async t => {
  const { value, has } = await scrape()
  t.equal(value('stoker_build_info{version="1.2.3"}'), '1')
  t.equal(value('stoker_mode{mode="act"}'), '1')
  t.equal(value('stoker_mode{mode="advise"}'), '0')
  t.notOk(has('stoker_torchserve_up'))
  t.notOk(has('stoker_last_tick_timestamp_seconds'))
  t.ok(Number(value('process_resident_memory_bytes')) > 1e6)
})

t.test('a pool is shown in base units', async t => {
  const { value, has } = await scrape({
    atMs: 5_000,
    pools: [{ inputs: { ceiling: 6 } }],
    tookMs: 40,
  })
  t.equal(value('stoker_torchserve_up'), '1')
  t.equal(value('stoker_last_tick_timestamp_seconds'), '5')
  t.equal(value('stoker_workers{model="resnet",version="1.0",state="ready"}'), '2')
  t.equal(value('stoker_workers{model="resnet",version="1.0",state="loading"}'), '1')
  t.equal(value('stoker_workers{model="resnet",version="1.0",state="dead"}'), '0')
  const expected = {
    workers_wanted: '4',
    workers_needed: '3',
    workers_held: '4',
    workers_minimum: '1',
    workers_maximum: '8',
    workers_ceiling: '6',
    arrivals_per_second: '12.5',
    requests_waiting: '3',
    service_seconds: '0.2',
    worker_load_seconds: '9',
    description_age_seconds: '0',
  }
  for (const [name, number] of Object.entries(expected))
    t.equal(value(`stoker_${name}${resnet}`), number, name)
  t.notOk(has('stoker_workers_knee'), 'a knee that was not found is not 0')
  t.equal(value('stoker_tick_duration_seconds_sum'), '0.04')
  t.equal(value('stoker_tick_duration_seconds_bucket{le="0.05"}'), '1')
})

t.test('what is wanted stays from the minimum to what is usable', async t => {
  const wanted = async (inputs: NonNullable<TickSketch['pools']>[number]['inputs'] & object) =>
    (await scrape({ atMs: 0, pools: [{ inputs }] })).value(`stoker_workers_wanted${resnet}`)
  t.equal(await wanted({ held: 7, usable: 5 }), '5')
  t.equal(await wanted({ held: 20 }), '8')
  t.equal(await wanted({ held: 0, minimum: 0 }), '0')
  t.equal(await wanted({ held: 0, minimum: 2 }), '2')
  t.equal(await wanted({ held: null, needed: 3 }), '3')
  t.equal(await wanted({ held: null, needed: null }), undefined)
})

t.test('a source that was there and is missing or old takes its series with it', async t => {
  const before = { atMs: 0, pools: [{}] }
  const old = await scrape(before, {
    atMs: 10_000,
    torchserve: 'stale',
    pools: [{ description: 'stale', counters: 'stale', inputs: { serviceMs: null } }],
  })
  t.equal(old.value('stoker_torchserve_up'), '0')
  t.equal(old.value(`stoker_description_age_seconds${resnet}`), '5')
  for (const name of ['workers', 'arrivals_per_second', 'requests_waiting', 'service_seconds'])
    t.notOk(old.has(`stoker_${name}`), name)
  t.equal(old.value(`stoker_workers_maximum${resnet}`), '8', 'the configuration is still known')

  const gone = await scrape(before, {
    atMs: 60_000,
    torchserve: 'absent',
    pools: [{ description: 'absent', undecided: true }],
  })
  t.notOk(gone.has('stoker_workers'))
  t.equal(
    gone.value('stoker_decisions_total{model="resnet",version="1.0",reason="steady"}'),
    '1',
    'a pool that cannot be read keeps its counters',
  )
})

t.test('the limit that a pool has met is shown, and when its load was read', async t => {
  const of = (limit: string) => `stoker_saturated{model="resnet",version="1.0",limit="${limit}"}`
  const met = await scrape({ atMs: 9_000, pools: [{ reason: 'at_knee' }] })
  t.equal(met.value(of('at_knee')), '1')
  t.equal(met.value(of('at_memory')), '0')
  t.equal(met.value('stoker_last_sample_timestamp_seconds'), '9')
  const free = await scrape({ atMs: 9_000, pools: [{ counters: 'stale' }] })
  t.equal(free.value(of('at_knee')), '0')
  t.equal(free.value('stoker_last_sample_timestamp_seconds'), '4', 'not when it was looked for')
  const never = await scrape({ atMs: 9_000, pools: [{ counters: 'absent' }] })
  t.notOk(never.has('stoker_last_sample_timestamp_seconds'))
})

t.test('a pod that is being deleted drains, however old the look at it is', async t => {
  const of = async (state: Tick['seen']['pod']['state']) => {
    const metrics = createMetrics({ mode: 'act', version: '1.2.3', late: () => undefined })
    const { seen, ...tick } = tickOf({ atMs: 60_000 })
    metrics.record({ ...tick, seen: { ...seen, pod: { ...seen.pod, state } } })
    return /^stoker_draining .*$/m.exec(await metrics.render())?.[0]
  }
  const value = { terminating: true } as PodState
  t.equal(await of({ state: 'absent', why: 'not in a pod' }), 'stoker_draining 0')
  t.equal(
    await of({ state: 'fresh', atMs: 1, value: { ...value, terminating: false } }),
    'stoker_draining 0',
  )
  t.equal(await of({ state: 'fresh', atMs: 1, value }), 'stoker_draining 1')
  t.equal(await of({ state: 'stale', atMs: 1, value, why: 'old' }), 'stoker_draining 1')
})

t.test('a pool that vanishes leaves nothing behind, its neighbour stays', async t => {
  const bert = { model: 'bert', version: '2' }
  const { lines } = await scrape({ atMs: 0, pools: [{}, bert] }, { atMs: 1_000, pools: [bert] })
  t.equal(lines.filter(line => line.includes('resnet')).length, 0)
  t.ok(lines.includes('stoker_decisions_total{model="bert",version="2",reason="steady"} 2'))
})

t.test('counters follow a pool whose key changes with the number of its versions', async t => {
  const { value } = await scrape(
    { atMs: 0, pools: [{ key: 'resnet' }] },
    { atMs: 1_000, pools: [{ key: 'resnet:1.0' }, { key: 'resnet:2.0', version: '2.0' }] },
  )
  t.equal(value('stoker_decisions_total{model="resnet",version="1.0",reason="steady"}'), '2')
})

t.test('outcomes are counted, and what alerts watch starts at 0', async t => {
  const pool = {}
  const removed = { kind: 'removed', sureness: 'edge', tries: 1, tookMs: 500 } as const
  const abandoned = { kind: 'abandoned', why: 'busy', tries: 9, tookMs: 5_000 } as const
  const { value } = await scrape(
    { atMs: 0, pools: [pool] },
    {
      atMs: 1_000,
      pools: [pool],
      outcomes: [
        { ...removed, action: actionOf(pool, 'shrink', 3, 2), atMs: 900, delayedMs: 250 },
        { ...removed, action: actionOf(pool, 'shrink', 2, 1), atMs: 950, delayedMs: 500 },
        { ...abandoned, action: actionOf(pool, 'shrink', 2, 1), atMs: 955, delayedMs: 250 },
        { kind: 'commanded', action: actionOf(pool, 'grow', 1, 2), atMs: 960 },
        { kind: 'advised', action: actionOf({ model: 'nobody' }, 'grow', 1, 2), atMs: 960 },
      ],
    },
  )
  const of = (more: string) => `{model="resnet",version="1.0",${more}}`
  t.equal(value(`stoker_worker_downs_total${of('sureness="edge"')}`), '2')
  t.equal(value(`stoker_worker_downs_total${of('sureness="retired"')}`), '0')
  t.equal(value(`stoker_client_delay_seconds_total${resnet}`), '1', 'tries that failed delay, too')
  t.equal(value(`stoker_actions_total${of('kind="shrink",outcome="removed"')}`), '2')
  t.equal(value(`stoker_actions_total${of('kind="grow",outcome="commanded"')}`), '1')
  for (const watched of [
    'grow",outcome="failed',
    'rollback",outcome="commanded',
    'repair",outcome="commanded',
  ])
    t.equal(value(`stoker_actions_total${of(`kind="${watched}"`)}`), '0', watched)
})

t.test('notes stand while their condition does', async t => {
  const note = { code: 'METRICS_MODE_LOG', message: 'Set metrics_mode=prometheus.' }
  const standing = await scrape({ atMs: 0, notes: [note, note] })
  t.equal(standing.value('stoker_notes{code="METRICS_MODE_LOG"}'), '2')
  t.notOk((await scrape({ atMs: 0, notes: [note] }, { atMs: 1_000 })).has('stoker_notes'))
})

t.test('no value and no name can break a scrape', async t => {
  const { value, has, lines } = await scrape({
    atMs: 0,
    pools: [
      { inputs: { arrivalsPerSecond: NaN, serviceMs: Infinity } },
      { model: 'a"b\\c\nd', version: '' },
    ],
  })
  t.notOk(lines.some(line => /(nan|inf)$/i.test(line)))
  t.notOk(has(`stoker_service_seconds${resnet}`))
  t.equal(value(String.raw`stoker_requests_waiting{model="a\"b\\c\nd",version=""}`), '3')
})

t.test('names keep to the conventions of Prometheus', async t => {
  const { lines } = await scrape({ atMs: 0, pools: [{}] })
  const types = lines.flatMap(line => /^# TYPE (\S+) (\S+)/.exec(line)?.slice(1) ?? [])
  for (let at = 0; at < types.length; at += 2) {
    const [name = '', type] = types.slice(at)
    t.match(name, /^(stoker|process)_[a-z_]+$/)
    t.equal(name.endsWith('_total'), type === 'counter', name)
    t.notMatch(name, /_(ms|milliseconds|percent|minutes|gauge|counter|histogram)(_|$)/)
  }
})

t.test('docs/metrics.md is what the table says, and names every metric that is served', async t => {
  const written = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  t.equal(written, metricsMarkdown(), 'run `npm run docs`')
  const { lines } = await scrape({ atMs: 0, pools: [{}] })
  for (const line of lines) {
    const name = /^# TYPE (\S+)/.exec(line)?.[1]
    if (name) t.ok(written.includes(`\`${name}\``), name)
  }
})
