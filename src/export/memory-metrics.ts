import type { MemoryInputs, ResizeKind, ResizeOutcome, ResizeReason } from '../model.ts'
import type { MetricRow, Shown } from './metric-table.ts'
import type { Tick } from './tick.ts'

/** What is counted of the pod's memory since the agent started. */
export interface ResizeTotals {
  decisions: Map<ResizeReason, number>
  outcomes: Map<ResizeKind, Map<ResizeOutcome['kind'], number>>
}

const kinds: readonly ResizeKind[] = ['raise', 'lower', 'revert', 'heal']
const watched: readonly ResizeOutcome['kind'][] = ['accepted', 'failed']

/** What an alert would watch starts at 0, once the pod's memory is Stoker's to change. */
export function countResize(totals: ResizeTotals, { resize, seen: { resized } }: Tick): void {
  if (!resize) return
  const { decisions, outcomes } = totals
  decisions.set(resize.reason, (decisions.get(resize.reason) ?? 0) + 1)
  for (const kind of kinds)
    if (!outcomes.has(kind)) outcomes.set(kind, new Map(watched.map(outcome => [outcome, 0])))
  if (!resized) return
  const ofKind = outcomes.get(resized.action.kind)
  ofKind?.set(resized.kind, (ofKind.get(resized.kind) ?? 0) + 1)
}

/** Series of workers last as long as these: no more than so many at a time of one pool. */
const WORKERS_MAX = 128

function ofPod(
  name: string,
  help: string,
  value: (inputs: MemoryInputs) => number | null | undefined,
): MetricRow {
  const samples = ({ tick }: Shown) => {
    const inputs = tick?.resize?.inputs
    return [[{}, (inputs && value(inputs)) ?? null]] as const
  }
  return { name, type: 'gauge', unit: 'bytes', labels: [], help, samples }
}

function ofWorker(row: {
  name: string
  type: MetricRow['type']
  unit: string
  help: string
  value: (use: { bytes: number; cpuMs: number }) => number
}): MetricRow {
  const { value, ...described } = row
  return {
    ...described,
    labels: ['model', 'version', 'worker'],
    *samples({ tick }) {
      for (const { description } of tick?.seen.pools ?? []) {
        if (description.state !== 'fresh') continue
        const { id, workers } = description.value
        for (const { id: worker, use } of workers.slice(0, WORKERS_MAX))
          if (use) yield [{ model: id.model, version: id.version, worker }, value(use)]
      }
    },
  }
}

export const memoryRows: readonly MetricRow[] = [
  ofPod(
    'stoker_memory_request_bytes',
    'Memory request of the TorchServe container, as its pod’s spec has it.',
    ({ desired }) => desired?.requestBytes,
  ),
  ofPod(
    'stoker_memory_limit_bytes',
    'Memory limit of the TorchServe container, as its pod’s spec has it; absent without one.',
    ({ desired }) => desired?.limitBytes,
  ),
  ofPod(
    'stoker_memory_granted_bytes',
    'What may be used: the limit that the kubelet has set, and no more than the node has put aside for it.',
    ({ granted }) => granted,
  ),
  ofPod(
    'stoker_memory_needed_bytes',
    'What TorchServe and all workers asked for need, margin included; absent while the need of a worker is not known.',
    ({ wanted }) => wanted,
  ),
  ofPod(
    'stoker_memory_used_bytes',
    'What the container’s cgroup holds, page cache included: what a lower limit is held against.',
    ({ usage }) => usage,
  ),
  ofPod(
    'stoker_memory_working_bytes',
    'The same without file pages that nobody used lately.',
    ({ working }) => working,
  ),
  ofPod(
    'stoker_memory_base_bytes',
    'What TorchServe holds beside its workers: the most of the last ten minutes.',
    ({ base }) => base,
  ),
  ofPod('stoker_memory_cap_bytes', 'The configured cap (STOKER_MAX_MEMORY).', ({ cap }) => cap),
  ofPod(
    'stoker_memory_ceiling_bytes',
    'The request beyond which the node, a quota or a policy refused; absent until met, and forgotten with time.',
    ({ ceiling }) => ceiling,
  ),
  {
    name: 'stoker_resizes_total',
    type: 'counter',
    unit: 'resizes',
    labels: ['kind', 'outcome'],
    help: 'Resizes sent, by kind (raise, lower, revert, heal) and what the API server made of them (accepted, failed), or why none was sent (advised, unfit).',
    *samples({ resizes }) {
      for (const [kind, outcomes] of resizes.outcomes)
        for (const [outcome, count] of outcomes) yield [{ kind, outcome }, count]
    },
  },
  {
    name: 'stoker_resize_decisions_total',
    type: 'counter',
    unit: 'decisions',
    labels: ['reason'],
    help: 'Decisions about the pod’s memory, one each tick, by the reason to hold or to change.',
    *samples({ resizes }) {
      for (const [reason, count] of resizes.decisions) yield [{ reason }, count]
    },
  },
  ofWorker({
    name: 'stoker_worker_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    help: 'Memory of a worker’s process and its children, without pages of files; absent where processes cannot be seen.',
    value: ({ bytes }) => bytes,
  }),
  ofWorker({
    name: 'stoker_worker_cpu_seconds_total',
    type: 'counter',
    unit: 'seconds',
    help: 'CPU time of a worker’s process and its children; absent where processes cannot be seen.',
    value: ({ cpuMs }) => cpuMs / 1000,
  }),
]
