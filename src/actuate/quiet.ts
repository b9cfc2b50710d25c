import type { Clock } from '../clock.ts'
import type { Processes } from '../clients/processes.ts'
import { Line, type Listed } from './line.ts'

const LOOK_MS = 1
const ASK_MS = 25
/** TorchServe may still be relaying the answer when the process already waits for the next job. */
const RELAY_MS = 15
/** With so many workers before it in line, the next jobs go to them. */
const OTHERS_IDLE = 2

/** Resolves just after the victim went from busy to idle with others before it in line; `false` when time is up. */
export async function waitForEdge(on: {
  clock: Clock
  processes: Processes
  victim: Listed
  others: readonly Listed[]
  untilMs: number
}): Promise<boolean> {
  const line = new Line(on.processes)
  let wasBusy = false
  while (on.clock.now() < on.untilMs) {
    const nowMs = on.clock.now()
    line.look([on.victim, ...on.others], nowMs)
    if (!line.isIdle(on.victim.id)) wasBusy = true
    else if (wasBusy && line.idle() > Math.min(OTHERS_IDLE, on.others.length)) {
      const idleForMs = line.idleForMs(on.victim.id, nowMs)
      if (idleForMs >= RELAY_MS) return true
    } else wasBusy = false
    await on.clock.sleep(LOOK_MS)
  }
  return false
}

/**
 * Resolves when no request has arrived for `quietMs` and none is waiting; `false` when time is up.
 * `arrivals`: a text that changes with each arrival. `pending`: jobs in the queue.
 */
export async function waitForGap(on: {
  clock: Clock
  arrivals(): Promise<string>
  pending(): Promise<number>
  quietMs: number
  untilMs: number
}): Promise<boolean> {
  let last: string | undefined
  let sinceMs = on.clock.now()
  while (on.clock.now() < on.untilMs) {
    const askedMs = on.clock.now()
    const now = await on.arrivals()
    if (now !== last) {
      last = now
      sinceMs = askedMs
    } else if (on.clock.now() - sinceMs >= on.quietMs && (await on.pending()) === 0) {
      if ((await on.arrivals()) === last) return true
    }
    await on.clock.sleep(ASK_MS)
  }
  return false
}
