/** Ticks as the loop would hand them over, with only what a test cares for to be spelt out. */
import type {
  Action,
  Decision,
  Description,
  Drained,
  Inputs,
  Note,
  Observation,
  Outcome,
  MemoryInputs,
  Reading,
  ResizeAction,
  ResizeDecision,
  ResizeOutcome,
  Worker,
} from '../../src/model.ts'
import type { Tick } from '../../src/export/tick.ts'
import { noPod } from '../decide/world.ts'

export interface PoolSketch {
  model?: string
  version?: string
  key?: string
  reason?: Decision['reason']
  because?: string
  action?: Pick<Action, 'kind' | 'from' | 'to'>
  inputs?: Partial<Inputs>
  description?: 'fresh' | 'stale' | 'absent'
  counters?: 'fresh' | 'stale' | 'absent'
  undecided?: boolean
  workers?: readonly Worker[]
}

export interface TickSketch {
  atMs: number
  pools?: readonly PoolSketch[]
  outcomes?: readonly Outcome[]
  notes?: readonly Note[]
  gpus?: Observation['gpus']
  host?: Observation['host']
  torchserve?: 'fresh' | 'stale' | 'absent'
  tookMs?: number
  /** What is decided about the pod's memory; left out: nothing is known of it. */
  memory?: MemorySketch
  resized?: ResizeOutcome
  podDemand?: number
  drain?: Drained
}

interface MemorySketch extends Partial<Pick<ResizeDecision, 'reason' | 'because' | 'action'>> {
  inputs?: Partial<MemoryInputs>
}

export const MIB = 2 ** 20
const amount = (mib: number) => ({ requestBytes: mib * MIB, limitBytes: mib * MIB })

export function resizeOf(
  fromMib: number,
  toMib: number,
  kind: ResizeAction['kind'] = 'raise',
): ResizeAction {
  return { kind, from: amount(fromMib), to: amount(toMib), restartCount: 0 }
}

const inputs: Inputs = {
  arrivalsPerSecond: 12.5,
  serviceMs: 200,
  waiting: 3,
  queueFree: 97,
  ready: 2,
  loading: 1,
  dead: 0,
  listed: 3,
  needed: 3,
  held: 4,
  minimum: 1,
  maximum: 8,
  knee: null,
  ceiling: null,
  loadMs: 9_000,
  gpu: null,
  workerBytes: null,
  memoryMost: null,
  usable: 8,
  podDemand: null,
}

const none = { state: 'absent', why: 'no model runs on a GPU' } as const

export function tickOf({ atMs, pools = [], outcomes = [], notes = [], ...more }: TickSketch): Tick {
  const { torchserve = 'fresh', tookMs = 12, gpus = none, host = none } = more
  const { memory, resized, podDemand, drain } = more
  return {
    tookMs,
    resize: memory && memoryDecisionOf(memory, atMs),
    podDemand,
    drain,
    decisions: pools.filter(pool => !pool.undecided).map(pool => decisionOf(pool, atMs)),
    seen: {
      atMs,
      torchserve: reading(torchserve, { url: 'http://127.0.0.1:8081/' }, atMs),
      gpus,
      host,
      outcomes,
      notes,
      pod: noPod,
      resized,
      pools: pools.map(pool => ({
        key: keyOf(pool),
        description: reading(pool.description ?? 'fresh', descriptionOf(pool), atMs),
        counters: reading(
          pool.counters ?? 'fresh',
          { requests: 1, latencyUs: 1, queueUs: 0, predictionMs: 1 },
          atMs,
        ),
      })),
    },
  }
}

export function actionOf(pool: PoolSketch, kind: Action['kind'], from: number, to: number): Action {
  return { kind, from, to, key: keyOf(pool), pool: idOf(pool) }
}

const idOf = ({ model = 'resnet', version = '1.0' }: PoolSketch) => ({ model, version })
const keyOf = (pool: PoolSketch) => pool.key ?? idOf(pool).model

function decisionOf(pool: PoolSketch, atMs: number): Decision {
  const { reason = 'steady', because = 'Two workers are right.', action } = pool
  const decided = { atMs, key: keyOf(pool), pool: idOf(pool), reason, because }
  const whole = { ...decided, inputs: { ...inputs, ...pool.inputs } }
  if (!action) return whole
  return { ...whole, action: actionOf(pool, action.kind, action.from, action.to) }
}

function memoryDecisionOf(
  { reason = 'fits', because = 'The workers need 600 MiB.', inputs: numbers, action }: MemorySketch,
  atMs: number,
): ResizeDecision {
  const known: MemoryInputs = {
    need: 600 * MIB,
    wanted: 600 * MIB,
    base: 300 * MIB,
    usage: 520 * MIB,
    working: 500 * MIB,
    granted: 640 * MIB,
    desired: amount(640),
    actual: amount(640),
    cap: 4_096 * MIB,
    ceiling: null,
  }
  const decided = { atMs, reason, because, inputs: { ...known, ...numbers } }
  return action ? { ...decided, action } : decided
}

/** What is not fresh is 5 s old. */
function reading<T>(state: 'fresh' | 'stale' | 'absent', value: T, atMs: number): Reading<T> {
  if (state === 'fresh') return { state, value, atMs }
  const why = '5 s old: it did not answer.'
  return state === 'stale' ? { state, value, atMs: atMs - 5_000, why } : { state, why }
}

function descriptionOf(pool: PoolSketch): Description {
  return {
    id: idOf(pool),
    isDefault: true,
    minWorkers: 3,
    maxWorkers: 3,
    batchSize: 1,
    maxBatchDelayMs: 100,
    responseTimeoutMs: 120_000,
    startupTimeoutMs: 120_000,
    maxRetryMs: 300_000,
    workers: pool.workers ?? [],
    pending: 3,
    queueFree: 97,
    refusal: undefined,
  }
}
