import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import type { Machine } from './machine.ts'
import type { Metrics } from './metrics.ts'
import type { Worker } from './worker.ts'

/** Between listing the workers' pids and reading their memory. */
const READING_MS = 50
const MiB = 1_048_576
const TOTAL_BYTES = 24 * 1_024 * MiB
const OTHERS_BYTES = 1_400 * MiB

/**
 * TorchServe's collector of machine numbers and of each worker's memory. As on the real thing it ends for good, without a word,
 * when a process that it had listed is gone by the time it reads.
 */
export async function collect(on: {
  clock: Clock
  intervalMs: number
  machine: Machine
  metrics: Metrics
  draws: Random
  /** The workers TorchServe lists. */
  workers: () => readonly Worker[]
  signal: AbortSignal
}): Promise<void> {
  const { clock, machine, metrics, signal } = on
  while (!signal.aborted) {
    const listed = on
      .workers()
      .flatMap(worker => (worker.pid > 0 ? [{ worker, pid: worker.pid }] : []))
    await clock.sleep(READING_MS, signal)
    for (const { worker, pid } of listed) {
      const bytes = machine.bytesOf(pid)
      if (bytes === undefined) return
      if (worker.pid === pid) worker.memoryBytes = bytes
    }
    const used = OTHERS_BYTES + machine.bytes
    metrics.host('CPUUtilization', on.draws() < 0.5 ? 0 : 100)
    metrics.host('DiskAvailable', 72.95395660400391)
    metrics.host('DiskUsage', 18.123146057128906)
    metrics.host('DiskUtilization', 19.9)
    metrics.host('MemoryAvailable', (TOTAL_BYTES - used) / MiB)
    metrics.host('MemoryUsed', used / MiB)
    metrics.host('MemoryUtilization', Math.round((1_000 * used) / TOTAL_BYTES) / 10)
    await clock.sleep(on.intervalMs - READING_MS, signal)
  }
}
