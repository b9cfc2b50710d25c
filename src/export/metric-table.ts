import type { Config } from '../config.ts'
import type { Outcome, PoolId, PoolKey, Reason, Sureness } from '../model.ts'
import { gpuRows } from './gpu-metrics.ts'
import { memoryRows, type ResizeTotals } from './memory-metrics.ts'
import { signalRows } from './signal-metrics.ts'
import type { PoolNow, Tick } from './tick.ts'

type Labels = Readonly<Record<string, string>>
/** A null value leaves the series out. */
type Sample = readonly [labels: Labels, value: number | null]

/** What is counted of one pool since the agent started. */
export interface Totals {
  key: PoolKey
  pool: PoolId
  decisions: Map<Reason, number>
  downs: Map<Sureness, number>
  /** By action kind, then by outcome kind. */
  actions: Map<string, Map<Outcome['kind'], number>>
  delayedMs: number
}

/** Everything the table reads its values from. */
export interface Shown {
  mode: Config['mode']
  version: string
  /** Why the loop is not to be trusted; undefined: it is. */
  late: () => string | undefined
  tick: Tick | undefined
  pools: readonly PoolNow[]
  totals: Map<string, Totals>
  resizes: ResizeTotals
}

export interface MetricRow {
  name: string
  type: 'gauge' | 'counter'
  unit: string
  labels: readonly string[]
  help: string
  samples(shown: Shown): Iterable<Sample>
}

const poolLabels = ['model', 'version'] as const

/** Only these two: a label the table does not name would fail the whole scrape. */
const labelsOf = ({ model, version }: PoolId): Labels => ({ model, version })

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000)

function ofPool(
  name: string,
  unit: string,
  help: string,
  value: (pool: PoolNow, atMs: number) => number | null,
): MetricRow {
  const samples = ({ pools, tick }: Shown) =>
    pools.map(pool => [labelsOf(pool.decision.pool), value(pool, tick?.seen.atMs ?? 0)] as const)
  return { name, type: 'gauge', unit, labels: poolLabels, help, samples }
}

const agentRows: readonly MetricRow[] = [
  {
    name: 'stoker_build_info',
    type: 'gauge',
    unit: '1',
    labels: ['version'],
    help: "Always 1; the label is the agent's version.",
    samples: ({ version }) => [[{ version }, 1]],
  },
  {
    name: 'stoker_mode',
    type: 'gauge',
    unit: '0 or 1',
    labels: ['mode'],
    help: '1 for the mode the agent runs in: act, or advise (everything is decided, nothing is done).',
    samples: ({ mode }) => [
      [{ mode: 'act' }, Number(mode === 'act')],
      [{ mode: 'advise' }, Number(mode === 'advise')],
    ],
  },
  {
    name: 'stoker_last_tick_timestamp_seconds',
    type: 'gauge',
    unit: 'seconds since 1970',
    labels: [],
    help: 'When the loop last ran.',
    samples: ({ tick }) => [[{}, seconds(tick?.seen.atMs ?? null)]],
  },
  {
    name: 'stoker_torchserve_up',
    type: 'gauge',
    unit: '0 or 1',
    labels: [],
    help: "Whether TorchServe's management API answered in the last tick.",
    samples: ({ tick }) => [[{}, tick ? Number(tick.seen.torchserve.state === 'fresh') : null]],
  },
  {
    name: 'stoker_notes',
    type: 'gauge',
    unit: 'notes',
    labels: ['code'],
    help: 'Conditions that need a person, by their code; docs/errors.md has the remedies.',
    *samples({ tick }) {
      const counts = new Map<string, number>()
      for (const { code } of tick?.seen.notes ?? []) counts.set(code, (counts.get(code) ?? 0) + 1)
      for (const [code, count] of counts) yield [{ code }, count]
    },
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: "The agent's resident memory.",
    samples: () => [[{}, process.memoryUsage.rss()]],
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: [],
    help: 'CPU time the agent has used.',
    samples() {
      const { user, system } = process.cpuUsage()
      return [[{}, (user + system) / 1e6]]
    },
  },
]

const poolRows: readonly MetricRow[] = [
  {
    name: 'stoker_workers',
    type: 'gauge',
    unit: 'workers',
    labels: [...poolLabels, 'state'],
    help: 'Workers that TorchServe lists, by state: ready, loading, dead.',
    *samples({ pools }) {
      for (const { decision, workers } of pools)
        for (const [state, count] of Object.entries(workers ?? {}))
          yield [{ ...labelsOf(decision.pool), state }, count]
    },
  },
  ofPool(
    'stoker_workers_wanted',
    'workers',
    'Workers the pool is heading for: held, from the minimum to what is usable.',
    pool => pool.wanted,
  ),
  ofPool(
    'stoker_workers_needed',
    'workers',
    'Workers the load asks for now, before any limit.',
    pool => pool.decision.inputs.needed,
  ),
  ofPool(
    'stoker_workers_held',
    'workers',
    'The most workers that were needed within the hold window.',
    pool => pool.decision.inputs.held,
  ),
  ofPool(
    'stoker_workers_minimum',
    'workers',
    'The configured minimum.',
    pool => pool.decision.inputs.minimum,
  ),
  ofPool(
    'stoker_workers_maximum',
    'workers',
    'The configured maximum.',
    pool => pool.decision.inputs.maximum,
  ),
  ofPool(
    'stoker_workers_knee',
    'workers',
    'The worker count beyond which more workers brought no throughput; absent until found.',
    pool => pool.decision.inputs.knee,
  ),
  ofPool(
    'stoker_workers_ceiling',
    'workers',
    'The worker count beyond which workers failed to load; absent until found.',
    pool => pool.decision.inputs.ceiling,
  ),
  ofPool(
    'stoker_workers_usable',
    'workers',
    'The most workers the pool could come to have: the least of maximum, knee, ceiling and what memory holds, and at least 1.',
    pool => pool.decision.inputs.usable,
  ),
  ofPool(
    'stoker_worker_bytes',
    'bytes',
    'Memory that one worker is taken to need, as learned or declared; absent until known.',
    pool => pool.decision.inputs.workerBytes,
  ),
  ofPool(
    'stoker_arrivals_per_second',
    'requests per second',
    'Requests that arrive, those TorchServe rejects included.',
    pool => pool.arrivalsPerSecond,
  ),
  ofPool(
    'stoker_requests_waiting',
    'requests',
    "Requests in TorchServe's queue, without those being served.",
    pool => pool.waiting,
  ),
  ofPool('stoker_service_seconds', 'seconds', 'The time one request takes in a worker.', pool =>
    seconds(pool.decision.inputs.serviceMs),
  ),
  ofPool(
    'stoker_worker_load_seconds',
    'seconds',
    'The time a worker takes from its start until it is ready.',
    pool => seconds(pool.decision.inputs.loadMs),
  ),
  ofPool(
    'stoker_gpu_worker_bytes',
    'bytes',
    'GPU memory that one worker is taken to need: set, learnt, or bounded by what is used; absent until known.',
    pool => pool.decision.inputs.gpu?.workerBytes ?? null,
  ),
  ofPool(
    'stoker_gpu_workers_fit',
    'workers',
    'Workers for which the GPU has room beside those that are there; absent where its memory is not known.',
    pool => pool.decision.inputs.gpu?.fits ?? null,
  ),
  ofPool(
    'stoker_description_age_seconds',
    'seconds',
    "How old TorchServe's last description of the pool was at the last tick.",
    (pool, atMs) =>
      pool.descriptionAtMs === null ? null : Math.max(0, atMs - pool.descriptionAtMs) / 1000,
  ),
]

const totalRows: readonly MetricRow[] = [
  {
    name: 'stoker_decisions_total',
    type: 'counter',
    unit: 'decisions',
    labels: [...poolLabels, 'reason'],
    help: 'Decisions, one each tick, by the reason to hold or to change.',
    *samples({ totals }) {
      for (const { pool, decisions } of totals.values())
        for (const [reason, count] of decisions) yield [{ ...labelsOf(pool), reason }, count]
    },
  },
  {
    name: 'stoker_worker_downs_total',
    type: 'counter',
    unit: 'workers',
    labels: [...poolLabels, 'sureness'],
    help: "Workers taken down, by how sure it was that none held a client's request: retired, never_served, edge, gap.",
    *samples({ totals }) {
      for (const { pool, downs } of totals.values())
        for (const [sureness, count] of downs) yield [{ ...labelsOf(pool), sureness }, count]
    },
  },
  {
    name: 'stoker_actions_total',
    type: 'counter',
    unit: 'actions',
    labels: [...poolLabels, 'kind', 'outcome'],
    help: 'Changes by kind (grow, shrink, rollback, repair) and outcome (commanded, removed, abandoned, advised, failed).',
    *samples({ totals }) {
      for (const { pool, actions } of totals.values())
        for (const [kind, outcomes] of actions)
          for (const [outcome, count] of outcomes)
            yield [{ ...labelsOf(pool), kind, outcome }, count]
    },
  },
  {
    name: 'stoker_client_delay_seconds_total',
    type: 'counter',
    unit: 'seconds',
    labels: poolLabels,
    help: 'The longest that requests of clients can have been held up in all by workers taken down, or tried to be.',
    *samples({ totals }) {
      for (const { pool, delayedMs } of totals.values()) yield [labelsOf(pool), delayedMs / 1000]
    },
  },
]

/** Every metric whose value is read at the scrape; the tick histogram is observed instead. */
export const metricTable: readonly MetricRow[] = [
  ...agentRows,
  ...signalRows,
  ...gpuRows,
  ...memoryRows,
  ...poolRows,
  ...totalRows,
]
