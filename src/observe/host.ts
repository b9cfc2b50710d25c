/** The whole machine: what all its CPUs do, and its memory. */
import { cpus, type CpuInfo } from 'node:os'
import type { Clock } from '../clock.ts'
import type { HostSeen, Reading } from '../model.ts'

export interface HostWatch {
  /** What was last measured; starts to measure anew when that is due. Never blocks, never throws. */
  look(): Reading<HostSeen>
}

const EVERY_MS = 5_000
const VALID_MS = 15_000

/** Of all CPUs since the machine started. */
interface Ticks {
  busy: number
  all: number
}

/**
 * systeminformation's memory part, and nothing else of it: it takes 5 MiB, the whole 10. Its `currentLoad()` runs a shell and
 * waits for it, which held the event loop for 7 to 157 ms where it was measured, and counts what Node's `os.cpus()` counts. Its
 * `graphics()` waits for nvidia-smi without a time limit, drops every 0, and knows nothing of MIG.
 */
export function createHostWatch(
  clock: Clock,
  read: () => readonly Pick<CpuInfo, 'times'>[] = cpus,
): HostWatch {
  let measured: Reading<HostSeen> = { state: 'absent', why: 'not measured yet' }
  let before: (Ticks & { atMs: number }) | undefined
  let dueMs = -Infinity

  const measure = async () => {
    const now = { ...sum(read()), atMs: clock.now() }
    const since = before
    before = now
    // Nobody looked for long, or never: that average would say nothing of now.
    if (!since || now.atMs - since.atMs > VALID_MS) return
    const all = now.all - since.all
    const cpuBusy = (now.busy - since.busy) / all
    if (!(all > 0)) throw new Error('the processors’ times cannot be read')
    const { mem } = await import('systeminformation/lib/memory.js')
    const { available, total } = await mem()
    const value = { cpuBusy, memoryTotalBytes: total, memoryAvailableBytes: available }
    measured = { state: 'fresh', value, atMs: clock.now() }
  }

  return {
    look() {
      const nowMs = clock.now()
      if (nowMs >= dueMs) {
        dueMs = nowMs + EVERY_MS
        measure().catch((error: unknown) => (measured = { state: 'absent', why: String(error) }))
      }
      if (measured.state !== 'fresh' || nowMs - measured.atMs <= VALID_MS) return measured
      return {
        ...measured,
        state: 'stale',
        why: `last measured ${Math.round((nowMs - measured.atMs) / 1_000)} s ago`,
      }
    },
  }
}

function sum(all: readonly Pick<CpuInfo, 'times'>[]): Ticks {
  const ticks = { busy: 0, all: 0 }
  for (const { times } of all) {
    const busy = times.user + times.nice + times.sys + times.irq
    ticks.busy += busy
    ticks.all += busy + times.idle
  }
  return ticks
}
