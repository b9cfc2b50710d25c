import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ActionKind, Outcome, PoolId, PoolKey, Sureness } from '../model.ts'
import { countResize } from './memory-metrics.ts'
import { metricTable } from './metric-table.ts'
import type { MetricRow, Shown, Totals } from './metric-table.ts'
import { reasons, resizeReasons } from './reasons.ts'
import { identify, poolsOf } from './tick.ts'
import type { Tick } from './tick.ts'

export interface Metrics {
  contentType: string
  record(tick: Tick): void
  /** The page for Prometheus, in its text format 0.0.4. */
  render(): Promise<string>
}

const tickDuration = {
  name: 'stoker_tick_duration_seconds',
  help: 'How long one pass of the loop took.',
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
}

export function createMetrics(about: Pick<Shown, 'mode' | 'version' | 'late'>): Metrics {
  const registry = new Registry()
  const shown: Shown = {
    ...about,
    tick: undefined,
    pools: [],
    totals: new Map(),
    resizes: { decisions: new Map(), outcomes: new Map() },
  }
  for (const row of metricTable) register(registry, row, shown)
  const durations = new Histogram({ ...tickDuration, registers: [registry] })
  return {
    contentType: registry.contentType,
    record(tick) {
      shown.tick = tick
      shown.pools = poolsOf(tick)
      count(shown.totals, tick)
      countResize(shown.resizes, tick)
      durations.observe(tick.tookMs / 1000)
    },
    render: () => registry.metrics(),
  }
}

function register(registry: Registry, row: MetricRow, shown: Shown) {
  const { name, help, labels: labelNames } = row
  const options = { name, help, labelNames, registers: [registry] }
  const samples = () =>
    [...row.samples(shown)].flatMap(([labels, value]) =>
      value !== null && Number.isFinite(value) ? [{ labels, value }] : [],
    )
  if (row.type === 'counter') {
    void new Counter({
      ...options,
      collect() {
        this.reset()
        for (const { labels, value } of samples()) this.inc(labels, value)
      },
    })
    return
  }
  void new Gauge({
    ...options,
    collect() {
      this.reset()
      // An unlabelled gauge is reset to 0; it shall be absent until it has a value.
      if (labelNames.length === 0) this.remove()
      for (const { labels, value } of samples()) this.set(labels, value)
    },
  })
}

function count(totals: Map<string, Totals>, { seen, decisions }: Tick) {
  for (const { key, pool, reason } of decisions) {
    const total = totals.get(identify(pool)) ?? startTotals(key, pool)
    totals.set(identify(pool), total)
    total.key = key
    total.decisions.set(reason, (total.decisions.get(reason) ?? 0) + 1)
  }
  for (const outcome of seen.outcomes) {
    const total = totals.get(identify(outcome.action.pool))
    if (total) countOutcome(total, outcome)
  }
  // A pool that cannot be read is without decision, and still there.
  const listed = new Set([...seen.pools, ...decisions].map(({ key }) => key))
  for (const [id, { key }] of totals) if (!listed.has(key)) totals.delete(id)
}

function countOutcome(total: Totals, outcome: Outcome) {
  const { kind } = outcome.action
  const outcomes = total.actions.get(kind) ?? new Map<Outcome['kind'], number>()
  total.actions.set(kind, outcomes.set(outcome.kind, (outcomes.get(outcome.kind) ?? 0) + 1))
  if ('delayedMs' in outcome) total.delayedMs += outcome.delayedMs
  if (outcome.kind !== 'removed') return
  total.downs.set(outcome.sureness, (total.downs.get(outcome.sureness) ?? 0) + 1)
}

const sureness: readonly Sureness[] = ['retired', 'never_served', 'edge', 'gap']
const kinds: readonly ActionKind[] = ['grow', 'shrink', 'rollback', 'repair']
const watched: readonly Outcome['kind'][] = ['commanded', 'failed']

/** What an alert would watch starts at 0, or `increase()` would not see its first event. */
function startTotals(key: PoolKey, pool: PoolId): Totals {
  return {
    key,
    pool,
    decisions: new Map(),
    downs: new Map(sureness.map(sure => [sure, 0])),
    actions: new Map(kinds.map(kind => [kind, new Map(watched.map(outcome => [outcome, 0]))])),
    delayedMs: 0,
  }
}

const code = (text: string) => `\`${text}\``

/** docs/metrics.md. */
export function metricsMarkdown(): string {
  const rows = [
    ...metricTable,
    { ...tickDuration, type: 'histogram', unit: 'seconds', labels: [] },
  ].map(({ name, type, unit, labels, help }) => [
    code(name),
    type,
    unit,
    labels.map(code).join(', ') || '–',
    help,
  ])
  const meanings = (of: typeof reasons | typeof resizeReasons) =>
    table(
      ['Reason', 'On the page', 'Meaning'],
      Object.entries(of).map(([reason, { label, meaning }]) => [code(reason), label, meaning]),
    )
  return [
    '# Metrics',
    'The agent serves these at `/metrics`, in the text format of Prometheus. This page is made from the table in `src/export/metric-table.ts`.',
    'Unknown is not zero: where a source is missing or old, its series are absent. The series of a pool (a model in one version) go when TorchServe no longer lists it.',
    table(['Name', 'Type', 'Unit', 'Labels', 'Meaning'], rows),
    '## Reasons',
    'The values of the label `reason`, and of `reason` in `/decisions`.',
    meanings(reasons),
    'Those of the pod’s memory:',
    meanings(resizeReasons),
  ]
    .join('\n\n')
    .concat('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
