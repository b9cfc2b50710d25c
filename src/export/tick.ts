import type {
  CostDecision,
  Decision,
  Drained,
  Observation,
  PoolId,
  ResizeDecision,
} from '../model.ts'

/** What one pass of the loop saw and decided, and how long it took. */
export interface Tick {
  seen: Observation
  decisions: readonly Decision[]
  resize: ResizeDecision | undefined
  /** The load in pods such as this one; undefined: not known. */
  podDemand: number | undefined
  /** Absent: nobody wants the pod drained. */
  drain?: Drained | undefined
  /** Absent: nobody wants it written. */
  deletionCost?: CostDecision | undefined
  tookMs: number
}

/** One pool as metrics and page show it: numbers whose source is not fresh are null, never old and never 0. */
export interface PoolNow {
  /** The same before and after another version of the model appears, which the pool's key is not. */
  id: string
  decision: Decision
  /** Whether TorchServe's description of the pool is fresh. */
  fresh: boolean
  descriptionAtMs: number | null
  arrivalsPerSecond: number | null
  waiting: number | null
  workers: { ready: number; loading: number; dead: number } | null
  /** Where the pool is heading: the need of the hold window, from the minimum to what is usable. */
  wanted: number | null
}

/** Whether the pod is going: it is being drained, or was deleted, which an old look tells as well. */
export function isDraining({ drain, seen }: Tick): boolean {
  const { state } = seen.pod
  return drain !== undefined || (state.state !== 'absent' && state.value.terminating)
}

export function identify(pool: PoolId): string {
  return `${pool.model}\n${pool.version}`
}

export function poolsOf(tick: Tick): PoolNow[] {
  const seen = new Map(tick.seen.pools.map(pool => [pool.key, pool]))
  return tick.decisions.map(decision => {
    const { inputs } = decision
    const description = seen.get(decision.key)?.description
    const counters = seen.get(decision.key)?.counters
    const fresh = description?.state === 'fresh'
    const need = inputs.held ?? inputs.needed
    return {
      id: identify(decision.pool),
      decision,
      fresh,
      descriptionAtMs: description && description.state !== 'absent' ? description.atMs : null,
      arrivalsPerSecond: counters?.state === 'fresh' ? inputs.arrivalsPerSecond : null,
      waiting: fresh ? inputs.waiting : null,
      workers: fresh ? { ready: inputs.ready, loading: inputs.loading, dead: inputs.dead } : null,
      wanted: need === null ? null : Math.min(inputs.usable, Math.max(inputs.minimum, need)),
    }
  })
}
