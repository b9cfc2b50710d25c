/** Goal: what was written onto the pod, and why, can be told afterwards. Method: ticks. */
import t from 'tap'
import { createHistory } from '../../src/export/history.ts'
import { createMetrics } from '../../src/export/metrics.ts'
import { createReport } from '../../src/export/report.ts'
import type { Tick } from '../../src/export/tick.ts'
import type { CostDecision, CostOutcome } from '../../src/model.ts'
import { tickOf } from './ticks.ts'

const because = 'What comes and waits keeps 1.00 workers busy.'

function tick(
  atMs: number,
  deletionCost?: Omit<CostDecision, 'atMs' | 'because'>,
  costed?: CostOutcome,
): Tick {
  const plain = tickOf({ atMs })
  return {
    ...plain,
    seen: { ...plain.seen, costed },
    deletionCost: deletionCost && { atMs, because, ...deletionCost },
  }
}

const failure: CostOutcome = {
  cost: 6,
  atMs: 1_100,
  kind: 'failed',
  code: 'KUBERNETES_BUSY',
  message: 'later',
  retryAfterMs: 7_000,
}
const ticks = [
  tick(1_000, { cost: 6, written: null, write: true }),
  tick(2_000, { cost: 6, written: null, write: false }, failure),
  tick(3_000, { cost: 6, written: null, write: true }),
  tick(4_000, { cost: 6, written: 6, write: false }, { cost: 6, atMs: 3_100, kind: 'written' }),
  tick(5_000, { cost: 2, written: 6, write: true }),
]

t.test('/decisions has each write with its reason and what became of it', async t => {
  const history = createHistory()
  for (const each of ticks) history.record(each)
  t.strictSame(history.deletionCosts(), [
    { atMs: 5_000, from: 6, to: 2, because, outcome: null },
    {
      atMs: 3_000,
      from: null,
      to: 6,
      because,
      outcome: { cost: 6, atMs: 3_100, kind: 'written' },
    },
    { atMs: 1_000, from: null, to: 6, because, outcome: failure },
  ])
})

t.test('the metric is what stands on the pod, and absent where that is not known', async t => {
  const shown = async (each: Tick, mode: 'act' | 'advise' = 'act') => {
    const metrics = createMetrics({ mode, version: '1', late: () => undefined })
    metrics.record(each)
    return /^stoker_pod_deletion_cost (.*)$/m.exec(await metrics.render())?.[1]
  }
  t.equal(await shown(tick(0)), undefined)
  const [first = tick(0), , , written = tick(0)] = ticks
  t.equal(await shown(first), undefined)
  t.equal(await shown(written), '6')
  t.equal(await shown(written, 'advise'), undefined, 'nothing is written')
})

t.test('the log has a line for each new cost, and not for each try', async t => {
  const lines: string[] = []
  const report = createReport(({ text }) => lines.push(text))
  for (const each of ticks) report(each)
  t.strictSame(lines, [
    `deletion cost: unknown → 6. ${because}`,
    `deletion cost: 6 → 2. ${because}`,
  ])
})
