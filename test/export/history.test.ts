/** Goal: the last quarter of an hour and every change can be told afterwards. Method: ticks in, what the page and /decisions read out. */
import t from 'tap'
import { createHistory, POINTS_MAX, POOLS_MAX } from '../../src/export/history.ts'
import { DECISIONS_MAX } from '../../src/export/log.ts'
import { actionOf, tickOf, type PoolSketch, type TickSketch } from './ticks.ts'

function historyOf(...ticks: readonly TickSketch[]) {
  const history = createHistory()
  for (const tick of ticks) history.record(tickOf(tick))
  return history
}

/** One tick a second, each with these pools. */
const seconds = (...pools: readonly (readonly PoolSketch[])[]) =>
  pools.map((each, index) => ({ atMs: (index + 1) * 1_000, pools: each }))

t.test('the same hold again is folded into one entry', async t => {
  const steady = { reason: 'steady', because: 'First.' } as const
  const history = historyOf(...seconds([steady], [{ ...steady, because: 'Later.' }], [steady]))
  t.match(history.decisions(), [{ atMs: 1_000, lastMs: 3_000, times: 3, because: 'First.' }])
  t.equal(history.decisions().length, 1)
})

t.test('a new reason and a change are entries of their own, newest first', async t => {
  const grow = { reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } } as const
  const more = { reason: 'demand', action: { kind: 'grow', from: 3, to: 4 } } as const
  const history = historyOf(...seconds([{}], [grow], [{ reason: 'loading' }], [more], [{}]))
  t.same(
    history.decisions().map(({ reason, action }) => [reason, action?.to ?? null]),
    [
      ['steady', null],
      ['demand', 4],
      ['loading', null],
      ['demand', 3],
      ['steady', null],
    ],
  )
})

t.test('pools do not interrupt each other', async t => {
  const bert = { model: 'bert', reason: 'refused' } as const
  const history = historyOf(...seconds([{}, bert], [{}, bert], [{}, bert]))
  t.same(
    history.decisions().map(({ key, times }) => [key, times]),
    [
      ['bert', 3],
      ['resnet', 3],
    ],
  )
  t.same(
    history.decisions('bert').map(({ key }) => key),
    ['bert'],
  )
})

t.test('what became of an action stands with the decision that ordered it', async t => {
  const grow = { reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } } as const
  const history = createHistory()
  history.record(tickOf({ atMs: 1_000, pools: [grow] }))
  const outcome = { kind: 'commanded', action: actionOf({}, 'grow', 2, 3), atMs: 1_200 } as const
  history.record(tickOf({ atMs: 2_000, pools: [{ reason: 'loading' }], outcomes: [outcome] }))
  const [loading, demand] = history.decisions()
  t.same(demand?.outcomes, [outcome])
  t.same(loading?.outcomes, [])
})

t.test('advice that repeats each second stays one entry with one outcome', async t => {
  const grow = { reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } } as const
  const advised = (atMs: number) =>
    ({ kind: 'advised', action: actionOf({}, 'grow', 2, 3), atMs }) as const
  const history = historyOf(
    { atMs: 1_000, pools: [grow] },
    { atMs: 2_000, pools: [grow], outcomes: [advised(1_100)] },
    { atMs: 3_000, pools: [grow], outcomes: [advised(2_100)] },
  )
  t.equal(history.decisions().length, 1)
  t.match(history.decisions(), [{ times: 3, outcomes: [{ kind: 'advised', atMs: 2_100 }] }])
})

t.test('a pool that wavers between two holds cannot push out the changes', async t => {
  const grow = { reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } } as const
  const waver = Array.from({ length: 3 * DECISIONS_MAX }, (_, index) => [
    { reason: index % 2 ? 'steady' : 'hold_window' } as const,
  ])
  const decisions = historyOf(...seconds([grow], ...waver)).decisions()
  t.equal(decisions.length, DECISIONS_MAX)
  t.match(decisions.at(-1), { reason: 'demand', atMs: 1_000 })
})

t.test('state holds only what is newer than the reader has', async t => {
  const history = historyOf(...seconds([{}], [{}], [{ reason: 'demand' }], [{ reason: 'demand' }]))
  const all = history.state(0)
  t.equal(all.tickAtMs, 4_000)
  t.same(
    all.pools[0]?.points.map(([atMs]) => atMs),
    [1_000, 2_000, 3_000, 4_000],
  )
  t.equal(all.decisions.length, 2)
  const news = history.state(3_000)
  t.same(news.pools[0]?.points, [[4_000, 12.5, 3, 2, 1, 0, 4, 8, 200]])
  t.same(
    news.decisions.map(({ reason, times }) => [reason, times]),
    [['demand', 2]],
  )
  t.same(history.state(4_000).decisions, [])
})

t.test('an outcome makes an old decision news again', async t => {
  const grow = { reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } } as const
  const outcome = { kind: 'commanded', action: actionOf({}, 'grow', 2, 3), atMs: 2_500 } as const
  const history = historyOf(...seconds([grow], [{}]), {
    atMs: 3_000,
    pools: [{}],
    outcomes: [outcome],
  })
  t.same(
    history.state(2_000).decisions.map(({ reason }) => reason),
    ['steady', 'demand'],
  )
})

t.test('points, pools and decisions are bounded', async t => {
  const pools = Array.from({ length: POOLS_MAX + 6 }, (_, index) => ({ model: `m${index}` }))
  const history = historyOf({ atMs: 1, pools })
  t.equal(history.state(0).pools.length, POOLS_MAX)
  t.equal(history.state(0).poolsLeftOut, 6)
  const long = historyOf(...seconds(...Array.from({ length: POINTS_MAX + 100 }, () => [{}])))
  const points = long.state(0).pools[0]?.points ?? []
  t.equal(points.length, POINTS_MAX)
  t.equal(points[0]?.[0], 101_000)
})

t.test('a pool that vanishes takes its points along, its decisions stay', async t => {
  const bert = { model: 'bert' }
  const history = historyOf(...seconds([{}, bert], [{}], [{}, bert]))
  t.same(
    history.state(0).pools.map(({ key, points }) => [key, points.length]),
    [
      ['resnet', 3],
      ['bert', 1],
    ],
  )
  t.ok(
    historyOf(...seconds([{}, bert], [{}]))
      .keys()
      .has('bert'),
  )
})

t.test('what is not fresh is a gap in the lines and no number on the card', async t => {
  const old = { description: 'stale', counters: 'stale', inputs: { serviceMs: null } } as const
  const [pool] = historyOf(...seconds([old])).state(0).pools
  t.same(pool?.points, [[1_000, null, null, null, null, null, 4, 8, null]])
  t.match(pool, { fresh: false, arrivalsPerSecond: null, waiting: null })
})

t.test('a pool that is listed but cannot be read keeps its card and says why', async t => {
  const unread = { description: 'absent', undecided: true } as const
  const history = historyOf(...seconds([{}], [unread], [unread]))
  const { pools, decisions } = history.state(0)
  t.match(pools, [{ key: 'resnet', fresh: false, reason: 'stale', wanted: null, action: null }])
  t.match(pools[0]?.because, /did not answer/)
  t.equal(pools[0]?.points.length, 3)
  t.same(
    decisions.map(({ reason }) => reason),
    ['steady'],
    'nothing was decided, so nothing is logged',
  )
})

t.test('TorchServe is told in its three states, and before the first look', async t => {
  t.match(createHistory().state(0), { tickAtMs: null, torchserve: { state: 'absent', url: null } })
  const of = (torchserve: 'fresh' | 'stale' | 'absent') =>
    historyOf({ atMs: 1, torchserve }).state(0).torchserve
  t.same(of('fresh'), { state: 'fresh', url: 'http://127.0.0.1:8081/', why: null })
  t.match(of('stale'), { state: 'stale', url: /8081/, why: /did not answer/ })
  t.match(of('absent'), { state: 'absent', url: null, why: /did not answer/ })
})
