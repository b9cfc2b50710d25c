/** Prometheus as KEDA meets it: pods are scraped at an interval, a rule makes one number of them, and a query gets the last. */
import type { Answer } from './keda.ts'
import type { Pod, Told } from './pod.ts'

const SCRAPE_S = 5
const RULE_S = 5
/** Of what it heard of each pod, so long. */
const REMEMBERS_S = 3_600

/** What was heard of one target. */
export interface Series {
  /** Undefined: the last scrape failed, or it did not tell. */
  told: Told | undefined
  draining: boolean
  /** Told a demand within the last hour. */
  hasTold: boolean
  /** Ready as kube-state-metrics has it. */
  ready: boolean
}

/** One number of all targets; undefined: none. */
export type Rule = (series: readonly Series[]) => number | undefined

/**
 * `agents`: scrapes fail, from a share of the pods by their number. `discovery`: it has found no pod, and remembers none.
 * `prometheus`: it answers nobody, and scrapes nothing.
 */
export interface Outage {
  fromS: number
  toS: number
  of: 'prometheus' | 'discovery' | { agents: number }
}

interface Heard {
  told: Told | undefined
  draining: boolean
  toldAtS: number
}

export class Prometheus {
  readonly #rule: Rule
  readonly #outages: readonly Outage[]
  readonly #heard = new Map<number, Heard>()
  #value: number | undefined

  constructor(rule: Rule, outages: readonly Outage[]) {
    this.#rule = rule
    this.#outages = outages
  }

  /** A second: scrapes the targets that are due, and evaluates the rule when that is. */
  tick(nowS: number, pods: readonly Pod[]): void {
    const down = this.#down(nowS)
    if (down?.of === 'prometheus') return
    if (down?.of === 'discovery') {
      this.#heard.clear()
      this.#value = undefined
      return
    }
    for (const id of this.#heard.keys()) {
      if (!pods.some(pod => pod.id === id)) this.#heard.delete(id)
    }
    for (const [place, pod] of pods.entries()) {
      if ((nowS + pod.id) % SCRAPE_S !== 0) continue
      const share = down?.of.agents ?? 0
      this.#scrape(nowS, pod, share > 0 && place < Math.ceil(share * pods.length))
    }
    if (nowS % RULE_S === 0) {
      this.#value = this.#rule(pods.map(pod => this.#series(nowS, pod)))
    }
  }

  query(nowS: number): Answer {
    return this.#down(nowS)?.of === 'prometheus' ? undefined : { value: this.#value }
  }

  #down(nowS: number): Outage | undefined {
    return this.#outages.find(({ fromS, toS }) => fromS <= nowS && nowS < toS)
  }

  #scrape(nowS: number, pod: Pod, fails: boolean): void {
    const before = this.#heard.get(pod.id) ?? {
      told: undefined,
      draining: false,
      toldAtS: -Infinity,
    }
    // The agent is there before its model; it has nothing to tell yet.
    if (nowS * 1000 < pod.readyAtMs) return
    // What a failed scrape leaves out is stale at once; of draining the rule takes the last that was said.
    if (fails) this.#heard.set(pod.id, { ...before, told: undefined })
    else {
      const told = pod.tell(nowS * 1000)
      const toldAtS = told.podDemand === undefined ? before.toldAtS : nowS
      this.#heard.set(pod.id, { told, draining: pod.drainingSinceMs !== undefined, toldAtS })
    }
  }

  #series(nowS: number, pod: Pod): Series {
    const { draining = false, told, toldAtS = -Infinity } = this.#heard.get(pod.id) ?? {}
    return {
      told,
      draining,
      hasTold: nowS - toldAtS <= REMEMBERS_S,
      ready: pod.serves(nowS * 1000),
    }
  }
}
