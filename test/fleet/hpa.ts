/**
 * The arithmetic of the HorizontalPodAutoscaler for one external metric, as in Kubernetes 1.36
 * (pkg/controller/podautoscaler: replica_calculator.go, horizontal.go).
 */

interface Policy {
  type: 'Pods' | 'Percent'
  value: number
  periodSeconds: number
}

interface Rules {
  stabilizationWindowSeconds?: number
  selectPolicy?: 'Max' | 'Min' | 'Disabled'
  policies?: readonly Policy[]
}

/** As in a ScaledObject under `advanced.horizontalPodAutoscalerConfig`. */
export interface Behavior {
  scaleUp?: Rules
  scaleDown?: Rules
}

export interface HpaSpec {
  minReplicas: number
  maxReplicas: number
  /** `AverageValue`: the sum by the target is the size. `Value`: the value by the target is the factor on the ready pods. */
  type: 'AverageValue' | 'Value'
  target: number
  behavior?: Behavior
}

/** Pods as the API server has them when the controller looks. */
export interface Scale {
  /** In the spec, and without those that terminate in the status too: the ReplicaSet follows at once. */
  replicas: number
  ready: number
}

const TOLERANCE = 0.1
export const SYNC_S = 15

const upDefaults = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
} as const
const downDefaults = {
  stabilizationWindowSeconds: 300,
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
} as const

interface Dated {
  atS: number
  replicas: number
}

export class Hpa {
  readonly #spec: HpaSpec
  readonly #up: Required<Rules>
  readonly #down: Required<Rules>
  /** Recommendations before they were stabilised, and what was added and taken. */
  readonly #recommended: Dated[] = []
  readonly #added: Dated[] = []
  readonly #taken: Dated[] = []

  constructor(spec: HpaSpec) {
    this.#spec = spec
    this.#up = { ...upDefaults, ...spec.behavior?.scaleUp }
    this.#down = { ...downDefaults, ...spec.behavior?.scaleDown }
  }

  /** The size after one sync. `metric`: the sum over the pods (`AverageValue`) or the value; undefined: it could not be got. */
  sync(nowS: number, scale: Scale, metric: number | undefined): number {
    const { replicas } = scale
    const { maxReplicas, minReplicas } = this.#spec
    if (this.#recommended.length === 0) this.#recommended.push({ atS: nowS, replicas })
    if (replicas > maxReplicas) return this.#scale(nowS, replicas, maxReplicas)
    if (replicas < minReplicas) return this.#scale(nowS, replicas, minReplicas)
    // Without a metric nothing is done, and nothing recommended.
    if (metric === undefined) return replicas
    const proposed = this.#proposal(scale, metric)
    const stabilised = this.#stabilise(nowS, replicas, proposed)
    return this.#scale(nowS, replicas, this.#limit(nowS, replicas, stabilised))
  }

  #proposal({ ready, replicas }: Scale, metric: number): number {
    // Both are whole thousandths.
    const usage = Math.round(metric * 1000)
    const target = Math.round(this.#spec.target * 1000)
    const perPod = this.#spec.type === 'AverageValue'
    const ratio = usage / (perPod ? target * replicas : target)
    if (1 - TOLERANCE <= ratio && ratio <= 1 + TOLERANCE) return replicas
    return Math.ceil(perPod ? usage / target : ratio * ready)
  }

  #stabilise(nowS: number, replicas: number, proposed: number): number {
    const since = (seconds: number) =>
      this.#recommended.filter(({ atS }) => atS > nowS - seconds).map(each => each.replicas)
    const least = Math.min(proposed, ...since(this.#up.stabilizationWindowSeconds))
    const most = Math.max(proposed, ...since(this.#down.stabilizationWindowSeconds))
    this.#recommended.push({ atS: nowS, replicas: proposed })
    return Math.min(Math.max(replicas, least), most)
  }

  /** Within what the policies allow, and the bounds. */
  #limit(nowS: number, replicas: number, wanted: number): number {
    const { maxReplicas, minReplicas } = this.#spec
    if (wanted > replicas) {
      const limit = Math.max(replicas, this.#furthest(nowS, replicas, this.#up, 1))
      return Math.min(wanted, maxReplicas, limit)
    }
    if (wanted < replicas) {
      const limit = Math.min(replicas, this.#furthest(nowS, replicas, this.#down, -1))
      return Math.max(wanted, minReplicas, limit)
    }
    return Math.min(Math.max(wanted, minReplicas), maxReplicas)
  }

  #furthest(nowS: number, replicas: number, rules: Required<Rules>, sign: 1 | -1): number {
    if (rules.selectPolicy === 'Disabled') return replicas
    const proposals = rules.policies.map(({ type, value, periodSeconds }) => {
      const changed = (events: readonly Dated[]) =>
        events
          .filter(({ atS }) => atS > nowS - periodSeconds)
          .reduce((sum, event) => sum + event.replicas, 0)
      const before = replicas - changed(this.#added) + changed(this.#taken)
      if (type === 'Pods') return before + sign * value
      const share = before * (1 + (sign * value) / 100)
      return sign > 0 ? Math.ceil(share) : Math.floor(share)
    })
    const most = (rules.selectPolicy === 'Max') === sign > 0
    return most ? Math.max(...proposals) : Math.min(...proposals)
  }

  #scale(nowS: number, from: number, to: number): number {
    if (to > from) this.#added.push({ atS: nowS, replicas: to - from })
    if (to < from) this.#taken.push({ atS: nowS, replicas: from - to })
    return to
  }
}
