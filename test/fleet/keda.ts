/** What KEDA 2.21 makes of a Prometheus query before the HPA sees it (pkg/scalers/prometheus_scaler.go, pkg/fallback). */

/** `value`: undefined where the result is empty. Undefined: Prometheus did not answer. */
export type Answer = { value: number | undefined } | undefined

export interface Trigger {
  ignoreNullValues: boolean
  fallback: Fallback | undefined
}

interface Fallback {
  failureThreshold: number
  replicas: number
  behavior: 'static' | 'currentReplicas' | 'currentReplicasIfHigher'
}

export class Keda {
  readonly #trigger: Trigger
  #failures = 0

  constructor(trigger: Trigger) {
    this.#trigger = trigger
  }

  /** The metric as the HPA gets it; undefined: an error. `target`: that of the metric, by which a fallback is a number of pods. */
  metric(answer: Answer, replicas: number, target: number): number | undefined {
    const value = this.#read(answer)
    if (value !== undefined) {
      this.#failures = 0
      return inThousandths(value)
    }
    const { fallback } = this.#trigger
    if (!fallback) return undefined
    this.#failures += 1
    if (this.#failures <= fallback.failureThreshold) return undefined
    return target * wantedBy(fallback, replicas)
  }

  #read(answer: Answer): number | undefined {
    if (!answer) return undefined
    if (answer.value !== undefined && Number.isFinite(answer.value)) return answer.value
    return this.#trigger.ignoreNullValues ? 0 : undefined
  }
}

function inThousandths(value: number): number {
  return value < 0 ? 0 : Number(value.toFixed(3))
}

function wantedBy({ behavior, replicas }: Fallback, current: number): number {
  if (behavior === 'static') return replicas
  return behavior === 'currentReplicas' ? current : Math.max(current, replicas)
}
