import type { Job } from './job.ts'
import type { Samples } from './exposition.ts'

/** What TorchServe counts. A series is born at its first use and never ends before TorchServe does. */
export class Metrics {
  readonly #families = new Map<string, Map<string, number>>()
  readonly #host: string

  constructor(hostname: string) {
    this.#host = hostname
  }

  get samples(): Samples {
    return this.#families
  }

  /** A request arrived for a model that exists; also if it is refused then. */
  arrived(model: string, versionLabel: string): void {
    this.#add('ts_inference_requests_total', this.#version(model, versionLabel), 1)
  }

  /** A prediction succeeded. */
  answered(model: string, job: Job, nowMs: number): void {
    const labels = this.#version(model, job.versionLabel)
    const queuedMs = job.assembledMs - job.arrivedMs
    this.#add('ts_inference_latency_microseconds', labels, (nowMs - job.arrivedMs) * 1_000)
    this.#add('ts_queue_latency_microseconds', labels, queuedMs * 1_000)
    this.#set('QueueTime', this.#level('Host'), Math.floor(queuedMs))
  }

  /** A handler ran, for a batch of requests or for a decoy. */
  predicted(model: string, tookMs: number): void {
    const labels = `ModelName="${model}",${this.#level('Model')}`
    this.#set('PredictionTime', labels, Math.round(tookMs * 100) / 100)
  }

  workerThread(): void {
    this.#set('WorkerThreadTime', this.#level('Host'), 1)
  }

  loaded(workerName: string, tookMs: number): void {
    this.#set('WorkerLoadTime', `WorkerName="${workerName}",${this.#level('Host')}`, tookMs)
  }

  /** An HTTP reply on any port. */
  replied(status: number): void {
    const hundred = status >= 200 && status < 300 ? 2 : status >= 400 && status < 500 ? 4 : 5
    this.#add(`Requests${hundred}XX`, this.#level('Host'), 1)
  }

  host(family: string, value: number): void {
    this.#set(family, this.#level('Host'), value)
  }

  #version(model: string, versionLabel: string): string {
    return `model_name="${model}",model_version="${versionLabel}",hostname="${this.#host}",`
  }

  #level(level: 'Host' | 'Model'): string {
    return `Level="${level}",Hostname="${this.#host}",`
  }

  #add(family: string, labels: string, amount: number): void {
    const series = this.#series(family)
    series.set(labels, (series.get(labels) ?? 0) + amount)
  }

  #set(family: string, labels: string, value: number): void {
    this.#series(family).set(labels, value)
  }

  #series(family: string): Map<string, number> {
    const series = this.#families.get(family) ?? new Map<string, number>()
    this.#families.set(family, series)
    return series
  }
}
