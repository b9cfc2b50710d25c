/**
 * What the protocol cases run on: a real TorchServe, or the emulation of one. The cases are the same, so that whatever is
 * tested against the emulation rests on what the real one does.
 */
import type { Test } from 'tap'
import type { Clock } from '../../src/clock.ts'

/** A model as the cases need it; one that is listed twice has two versions, the first of them the default. */
export interface ModelShape {
  name: string
  version?: string
  workers?: number
  batchSize?: number
  maxBatchDelayMs?: number
  queueSize?: number
  maxRetrySec?: number
  serviceMs?: number
  /** What a DESCRIBE job does to the handler: run as long as any other, or raise. Default `runs`. */
  decoy?: 'runs' | 'raises'
}

export type FailMode = 'cuda' | 'plain' | 'exit' | 'kill' | 'hang'

export interface Target {
  inferenceUrl: URL
  managementUrl: URL
  metricsUrl: URL
  /** With tokens only. */
  keyFile: string
  /** The server's time: every duration in the cases is in it. */
  clock: Clock
  /** Limits on what a case waits for are longer by this factor: a real server on a busy machine is slow, and that is no fault. */
  patience: number
  /** From now on a load fails while at least this many workers of the model live; undefined: no load fails. */
  failLoads(model: string, from: number | undefined, mode?: FailMode): void
  signal(pid: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  alive(pid: number): boolean
  freeze(): void
  thaw(): void
  /** What the model's handlers were given: a list of ids per call, `decoy` for an empty row. Absent: not known here. */
  calls?(model: string): string[][]
  close(): Promise<void>
}

/** Cases that share one server; each leaves its models as it would like to find them. */
export interface Scene {
  name: string
  models: readonly ModelShape[]
  metricsMode?: 'prometheus' | 'legacy' | 'log'
  tokens?: boolean
  cases: readonly Case[]
}

export interface Case {
  name: string
  run(t: Test, target: Target): Promise<void>
}
