/** A fleet in virtual time: requests at random over the pods that are ready, agents, Prometheus, KEDA, the HPA, a ReplicaSet. */
import { workersNeeded } from '../../src/decide/erlang.ts'
import { exponential, random, type Random } from '../../src/simulate/random.ts'
import { policy } from '../decide/world.ts'
import { Hpa, SYNC_S, type HpaSpec } from './hpa.ts'
import { Keda, type Trigger } from './keda.ts'
import { Pod, type PodOptions } from './pod.ts'
import { Prometheus, type Outage } from './prometheus.ts'
import type { Signal } from './signals.ts'

export interface FleetOptions extends PodOptions {
  signal: Signal
  scaling: Pick<HpaSpec, 'minReplicas' | 'maxReplicas' | 'behavior'>
  trigger: Trigger
  /** Requests per second. */
  rate: (atS: number) => number
  /** From the decision until the pod gets requests. */
  podStartS: number
  /** A pod that terminates goes when it is idle, or after so long. */
  graceS: number
  /** Pods at the start, loaded. */
  pods: number
  outages: readonly Outage[]
  seed: number
}

/** A second of the fleet. */
export interface Moment {
  atS: number
  /** What the Deployment is told to have. */
  replicas: number
  ready: number
  workers: number
  waiting: number
  /** Requests that were refused so far, or met no pod. */
  refused: number
  /** What KEDA was answered; undefined: nothing. */
  demand: number | undefined
}

export interface Run {
  moments: Moment[]
  /** Of each request that was answered: when that was, and how long it had waited. */
  answered: { atS: number; waitMs: number }[]
}

/** The most requests per second that one pod takes: what it is sized by, computed apart from the demand. */
export function podsWorth({ maxWorkers, serviceMs }: PodOptions): number {
  const enough = (arrivalsPerSecond: number) => {
    const load = { arrivalsPerSecond, serviceMs, batchSize: 1, maxBatchDelayMs: 100 }
    return workersNeeded(load, 1.5 * serviceMs, policy.waitProbability) <= maxWorkers
  }
  let rate = 0
  while (enough(rate + 0.01)) rate += 0.01
  return rate
}

class Fleet {
  readonly pods: Pod[] = []
  /** Requests that no pod was there for, and those that were refused by pods that are gone. */
  lost = 0
  #nextId = 0
  readonly #options: FleetOptions
  readonly #draw: Random

  constructor(options: FleetOptions) {
    this.#options = options
    this.#draw = random(options.seed, 'arrivals')
    for (let i = 0; i < options.pods; i++) this.add(0)
  }

  get staying(): Pod[] {
    return this.pods.filter(pod => pod.drainingSinceMs === undefined)
  }

  get refused(): number {
    return this.lost + this.pods.reduce((sum, { queue }) => sum + queue.refused, 0)
  }

  add(readyAtMs: number): void {
    const id = this.#nextId++
    const draw = random(this.#options.seed, `pod ${id}`)
    this.pods.push(new Pod(id, readyAtMs, this.#options, draw))
  }

  /** As a ReplicaSet chooses: those that are not ready, then the youngest. */
  resize(to: number, nowMs: number): void {
    for (let have = this.staying.length; have < to; have++) {
      this.add(nowMs + this.#options.podStartS * 1000)
    }
    const oldest = this.staying.toSorted((a, b) => a.readyAtMs - b.readyAtMs)
    for (const pod of oldest.slice(to)) pod.drainingSinceMs = nowMs
  }

  /** A second of requests and agents. Returns how long those had waited that were answered. */
  second(nowMs: number, rate: number): number[] {
    const serving = this.pods.filter(pod => pod.serves(nowMs - 1000))
    const shares = new Map(this.pods.map(pod => [pod, [] as number[]]))
    for (const atMs of this.#arrivals(nowMs - 1000, rate)) {
      const pod = serving[Math.floor(this.#draw() * serving.length)]
      if (pod) shares.get(pod)?.push(atMs)
      else this.lost += 1
    }
    const waits = this.pods.flatMap(pod => pod.queue.pass(nowMs, shares.get(pod) ?? []))
    for (const pod of this.pods) if (pod.readyAtMs <= nowMs) pod.tick(nowMs)
    this.#remove(nowMs)
    return waits
  }

  *#arrivals(fromMs: number, rate: number): Generator<number> {
    if (rate <= 0) return
    for (let atMs = fromMs; ;) {
      atMs += (exponential(this.#draw) * 1000) / rate
      if (atMs >= fromMs + 1000) return
      yield atMs
    }
  }

  #remove(nowMs: number): void {
    const isGone = ({ drainingSinceMs, queue }: Pod) =>
      drainingSinceMs !== undefined &&
      (queue.idle || nowMs - drainingSinceMs > this.#options.graceS * 1000)
    for (const pod of this.pods.filter(isGone)) {
      this.lost += pod.queue.refused
      this.pods.splice(this.pods.indexOf(pod), 1)
    }
  }
}

export function run(options: FleetOptions, seconds: number): Run {
  const { rate, scaling, signal, trigger } = options
  const fleet = new Fleet(options)
  const prometheus = new Prometheus(signal.rule, options.outages)
  const keda = new Keda(trigger)
  const hpa = new Hpa({ ...scaling, type: signal.type, target: signal.target })
  const moments: Moment[] = []
  const answered: Run['answered'] = []
  let replicas = options.pods
  for (let atS = 1; atS <= seconds; atS++) {
    const nowMs = atS * 1000
    const waits = fleet.second(nowMs, rate(atS))
    for (const waitMs of waits) answered.push({ atS, waitMs })
    prometheus.tick(atS, fleet.pods)
    const answer = prometheus.query(atS)
    if (atS % SYNC_S === 0) {
      const ready = fleet.staying.filter(pod => pod.serves(nowMs)).length
      const metric = keda.metric(answer, replicas, signal.target)
      replicas = hpa.sync(atS, { replicas, ready }, metric)
      fleet.resize(replicas, nowMs)
    }
    moments.push({
      atS,
      replicas,
      ready: fleet.pods.filter(pod => pod.serves(nowMs)).length,
      workers: fleet.pods.reduce((sum, { queue }) => sum + queue.ready(nowMs), 0),
      waiting: fleet.pods.reduce((sum, { queue }) => sum + queue.waiting, 0),
      refused: fleet.refused,
      demand: answer?.value,
    })
  }
  return { moments, answered }
}
