/** The typed configuration. (Parsing is written from one schema; see configSchema.) */

/** How a model's workers are scaled; the global settings with the model's own over them. */
export interface PoolPolicy {
  minWorkers: number
  maxWorkers: number
  /** A request should wait no longer than this; absent: one and a half service times. */
  maxWaitMs: number | undefined
  /** The share of requests that may wait longer. */
  waitProbability: number
  /** The least time that demand must have been lower before a worker goes. */
  holdMs: number
  /** Whether a decoy may be sent through the handler to retire a worker; `auto` stops after a handler answered one with an error. */
  decoys: 'auto' | 'on' | 'off'
  /** `false`: leave this model alone. */
  scale: boolean
}

export interface Config {
  mode: 'act' | 'advise'
  managementUrl: URL
  metricsUrl: URL
  inferenceUrl: URL
  caFile: string | undefined
  keyFile: string | undefined
  listenHost: string
  listenPort: number
  tickMs: number
  timeoutMs: number
  logLevel: 'debug' | 'info' | 'warn' | 'error'
  defaults: PoolPolicy
  models: Readonly<Record<string, Partial<PoolPolicy>>>
}

export function policyFor(config: Pick<Config, 'defaults' | 'models'>, model: string): PoolPolicy {
  return { ...config.defaults, ...config.models[model] }
}
