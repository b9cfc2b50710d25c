import type { Random } from '../random.ts'
import type { Contention } from './device.ts'

/**
 * How a load ends when it does not succeed. `cuda`: the handler reports that memory ran out, and the process exits;
 * `exception`, `exit`: it exits at once; `kill`: the kernel kills it; `hang`: it never ends.
 */
export type LoadFailure = 'cuda' | 'exception' | 'exit' | 'kill' | 'hang'

/** One model in one version. Left out: TorchServe's own default, or what a handler that sleeps 100 ms would do. */
export interface ModelOptions {
  name: string
  version?: string
  /** Workers at the start; 1. */
  workers?: number
  batchSize?: number
  maxBatchDelayMs?: number
  queueSize?: number
  responseTimeoutSec?: number
  startupTimeoutSec?: number
  maxRetrySec?: number
  /** From the start of a worker's process until TorchServe knows its pid; 300 ms. */
  startMs?: number
  loadMs?: number
  /** Time one batch takes in a worker that runs alone. */
  serviceMs?: number | ((random: Random, batchSize: number) => number)
  /** What its workers compete for, by its name in `devices`; nothing. */
  device?: string
  /** Asked at the end of every load. `loaded`: workers of this model that are ready by then. */
  loadFails?: (load: {
    workerId: string
    attempt: number
    loaded: number
  }) => LoadFailure | undefined
  /** What a decoy makes of the handler: an immediate answer, a whole service time, or an exception. */
  describe?: 'quick' | 'runs' | 'error'
  /** Resident size of one worker's process. */
  bytes?: number
  /** `mig`: on a slice, of which TorchServe can tell nothing. */
  gpu?: boolean | 'mig'
  /** What one ready worker takes of the GPU; 1 868 MiB. */
  gpuBytes?: number
  /** Fields of the describe reply to replace, as for models that must not be scaled: `{ stateful: true }`. */
  describeAs?: Readonly<Record<string, unknown>>
}

export interface TokenOptions {
  /** Path of TorchServe's key_file.json. */
  keyFile: string
  /** How long a management or inference key is valid; 60. */
  expirationMin?: number
}

export interface TorchServeOptions {
  models: readonly ModelOptions[]
  devices?: Readonly<Record<string, Contention>>
  /** `log` is TorchServe's default and gives an empty page; here the default is `prometheus`. */
  metricsMode?: 'prometheus' | 'legacy' | 'log'
  /** Between runs of the collector of memory and CPU numbers; 60. */
  metricIntervalSec?: number
  /**
   * How long a job is neither in the queue nor seen in its worker's process, on the way there and on the way back: the thread
   * has it, the process looks idle. 0; on a starved machine some milliseconds.
   */
  handoverMs?: number
  tokens?: TokenOptions
  /** 1. */
  seed?: number
}

export type Model = Required<ModelOptions>

export function withDefaults(options: ModelOptions): Model {
  return {
    version: '1.0',
    workers: 1,
    batchSize: 1,
    maxBatchDelayMs: 100,
    queueSize: 100,
    responseTimeoutSec: 120,
    startupTimeoutSec: 120,
    maxRetrySec: 300,
    startMs: 300,
    loadMs: 100,
    serviceMs: 100,
    device: '',
    loadFails: () => undefined,
    describe: 'quick',
    bytes: 25_739_264,
    gpu: false,
    gpuBytes: 1_868 * 1_048_576,
    describeAs: {},
    ...options,
  }
}

/** A mean with a uniform spread around it, as a share of it: `jittered(100, 0.2)` draws between 80 and 120 ms. */
export function jittered(meanMs: number, share: number): (random: Random) => number {
  return random => meanMs * (1 + share * (2 * random() - 1))
}
