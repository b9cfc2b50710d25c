/** What pods are scaled by, and how far it can be trusted. */
import type { Reason } from '../model.ts'
import type { MetricRow, Shown } from './metric-table.ts'
import { isDraining } from './tick.ts'

/** Reasons for which a pool has not got the workers that it needs, and will not get them in this pod for now. */
const limits = [
  'at_maximum',
  'at_knee',
  'at_ceiling',
  'at_memory',
  'gpu_full',
  'gpu_unknown',
  'gpu_unhealthy',
  'cpu_full',
] as const satisfies readonly Reason[]

/** When TorchServe's counters were read last, of whichever pool; null where they never were. */
function lastSampleMs({ tick }: Shown): number | null {
  const times = (tick?.seen.pools ?? []).flatMap(({ counters }) =>
    counters.state === 'absent' ? [] : counters.atMs,
  )
  return times.length > 0 ? Math.max(...times) : null
}

export const signalRows: readonly MetricRow[] = [
  {
    name: 'stoker_pod_demand',
    type: 'gauge',
    unit: 'pods',
    labels: [],
    help: 'The load in pods such as this one, never clipped: what arrives by the most that the workers which this pod could come to have can take, whatever it has now; in `advise` mode, by those it has. The sum over all pods is how many are wanted.',
    samples: ({ late, tick }) => [[{}, late() === undefined ? (tick?.podDemand ?? null) : null]],
  },
  {
    name: 'stoker_draining',
    type: 'gauge',
    unit: '0 or 1',
    labels: [],
    help: 'Whether the pod is going: its drain was asked for, or it was deleted. Its load is left to the others then, and is no part of the sum.',
    samples: ({ tick }) => [[{}, tick ? Number(isDraining(tick)) : null]],
  },
  {
    name: 'stoker_pod_deletion_cost',
    type: 'gauge',
    unit: 'steps',
    labels: [],
    help: "What it would cost to lose the pod, as last written onto it: of a ReplicaSet's pods those with the least go first. Absent unless STOKER_DELETION_COST is `write`, and until it is written.",
    samples: ({ mode, tick }) => [
      [{}, mode === 'act' ? (tick?.deletionCost?.written ?? null) : null],
    ],
  },
  {
    name: 'stoker_saturated',
    type: 'gauge',
    unit: '0 or 1',
    labels: ['model', 'version', 'limit'],
    help: `1 for the limit that keeps a pool from workers it needs now, a reason of stoker_decisions_total: ${limits.join(', ')}.`,
    *samples({ pools }) {
      for (const { decision } of pools) {
        const { model, version } = decision.pool
        for (const limit of limits)
          yield [{ model, version, limit }, Number(decision.reason === limit)]
      }
    },
  },
  {
    name: 'stoker_last_sample_timestamp_seconds',
    type: 'gauge',
    unit: 'seconds since 1970',
    labels: [],
    help: "When TorchServe's counters were last read, which the load is worked out from.",
    samples(shown) {
      const atMs = lastSampleMs(shown)
      return [[{}, atMs === null ? null : atMs / 1000]]
    },
  },
]
