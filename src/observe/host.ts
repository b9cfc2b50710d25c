/** The whole machine: what all its CPUs do, and its memory. */
import { cpus } from 'node:os'
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
export function createHostWatch(clock: Clock): HostWatch {
  let measured: Reading<HostSeen> = { state: 'absent', why: 'not measured yet' }
  let before = ticks()
  let dueMs = clock.now() + EVERY_MS

  const measure = async () => {
    const { mem } = await import('systeminformation/lib/memory.js')
    const now = ticks()
    const all = now.all - before.all
    const cpuBusy = (now.busy - before.busy) / all
    before = now
    if (!(all > 0)) throw new Error('the processors’ times cannot be read')
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
      return { ...measured, state: 'stale', why: 'the last measurement has not ended' }
    },
  }
}

function ticks(): Ticks {
  const sum = { busy: 0, all: 0 }
  for (const { times } of cpus()) {
    const busy = times.user + times.nice + times.sys + times.irq
    sum.busy += busy
    sum.all += busy + times.idle
  }
  return sum
}
