/** What a fleet is put through, and what is looked at afterwards. */
import { join } from 'node:path'
import { readManifests } from '../real/cluster/manifests.ts'
import { podsWorth, run, type FleetOptions, type Moment, type Run } from './fleet.ts'
import type { Behavior } from './hpa.ts'
import type { Trigger } from './keda.ts'
import type { Outage } from './prometheus.ts'
import type { Signal } from './signals.ts'

/** One model of half a second in pods of up to four workers, each of which takes ten seconds to load. */
const pod = { maxWorkers: 4, serviceMs: 500, queueSize: 100, workerLoadMs: 10_000 }
/** Nobody calls a wait of up to this a long one: what workers are sized by. */
const LONG_WAIT_MS = 1.5 * pod.serviceMs

const STEP_S = 3_600
const SETTLED_S = 600

export const example = scaledObject('prometheus.yaml')
/** As KEDA has it where nothing is said. */
export const kedasDefaults: Trigger = { ignoreNullValues: true, fallback: undefined }

interface Spec {
  minReplicaCount: number
  maxReplicaCount: number
  fallback: NonNullable<Trigger['fallback']>
  advanced: { horizontalPodAutoscalerConfig: { behavior: Behavior } }
  triggers: { metadata: Record<string, string> }[]
}

/** How the example in k8s/examples/pods scales. */
function scaledObject(file: string): Pick<FleetOptions, 'scaling' | 'trigger'> {
  const path = join(import.meta.dirname, '../../k8s/examples/pods', file)
  const found = readManifests(path).find(({ kind }) => kind === 'ScaledObject')
  if (!found) throw new Error(`${path} has no ScaledObject`)
  const { spec } = found as unknown as { spec: Spec }
  return {
    scaling: {
      minReplicas: spec.minReplicaCount,
      maxReplicas: spec.maxReplicaCount,
      behavior: spec.advanced.horizontalPodAutoscalerConfig.behavior,
    },
    trigger: {
      ignoreNullValues: spec.triggers[0]?.metadata['ignoreNullValues'] !== 'false',
      fallback: spec.fallback,
    },
  }
}

type Changes = Partial<
  Pick<FleetOptions, 'scaling' | 'trigger' | 'podStartS' | 'queueSize' | 'maxWorkers'>
>

/** Runs `loads`, in what one pod takes, for so many seconds each. */
function fleet(
  signal: Signal,
  seed: number,
  loads: readonly number[],
  stepS: number,
  more: Changes & { pods: number; outages?: readonly Outage[] },
): Run {
  const worth = podsWorth({ ...pod, ...more })
  const options: FleetOptions = {
    ...pod,
    ...example,
    signal,
    seed,
    rate: atS => worth * (loads[Math.ceil(atS / stepS) - 1] ?? 0),
    podStartS: 90,
    graceS: 120,
    outages: [],
    ...more,
  }
  return run(options, loads.length * stepS)
}

/** One step of a run. */
export interface Step {
  load: number
  /** Pods in its last ten minutes, on average. */
  settled: number
  most: number
  /** How often the size turned from growing to shrinking, or back. */
  turns: number
  /** Which part of the requests of its last ten minutes waited for long, or were refused. */
  late: number
}

/** Loads of so many pods, an hour each, from one pod. */
export function steps(signal: Signal, seed: number, loads: readonly number[], more: Changes = {}) {
  const result = fleet(signal, seed, loads, STEP_S, { pods: 1, ...more })
  return loads.map((load, place): Step => {
    const untilS = (place + 1) * STEP_S
    const moments = result.moments.slice(place * STEP_S, untilS)
    const last = moments.slice(-SETTLED_S)
    return {
      load,
      settled: last.reduce((sum, { replicas }) => sum + replicas, 0) / last.length,
      most: mostOf(moments),
      turns: turnsIn(moments),
      late: lateIn(result, last),
    }
  })
}

const mostOf = (moments: readonly Moment[]) => Math.max(...moments.map(({ replicas }) => replicas))

function turnsIn(moments: readonly Moment[]): number {
  const signs = moments
    .slice(1)
    .map(({ replicas }, place) => Math.sign(replicas - (moments[place]?.replicas ?? replicas)))
    .filter(sign => sign !== 0)
  return signs.slice(1).filter((sign, place) => sign !== signs[place]).length
}

function lateIn({ answered }: Run, moments: readonly Moment[]): number {
  const [first, end] = [moments[0], moments.at(-1)]
  if (!first || !end) return NaN
  const waits = answered.filter(({ atS }) => atS > first.atS && atS <= end.atS)
  const refused = end.refused - first.refused
  const long = waits.filter(({ waitMs }) => waitMs > LONG_WAIT_MS).length
  return (long + refused) / (waits.length + refused)
}

export const gaps: Readonly<Record<string, Outage['of']>> = {
  'half of the agents cannot be scraped': { agents: 0.5 },
  'no agent can be scraped': { agents: 1 },
  'Prometheus is gone': 'prometheus',
  'it finds no pod': 'discovery',
}

/** The fewest pods during twenty minutes of a gap, from seven under 6.7 pods' worth of load. */
export function fewestIn(
  gap: Outage['of'],
  signal: Signal,
  seed: number,
  trigger = example.trigger,
) {
  const outage = { fromS: 300, toS: 1_500, of: gap }
  const { moments } = fleet(signal, seed, [6.7], 1_800, { pods: 7, outages: [outage], trigger })
  const during = moments.filter(({ atS }) => atS >= outage.fromS)
  return Math.min(...during.map(({ replicas }) => replicas))
}

/** The most pods where a step from 0.7 to 6.7 meets a queue without end and pods that take five minutes to come. */
export function mostOnBacklog(signal: Signal, seed: number): number {
  const slow = { pods: 1, queueSize: 100_000, podStartS: 300 }
  return mostOf(fleet(signal, seed, [0.7, 6.7, 6.7, 6.7], 1_200, slow).moments)
}
