import type { Clock } from '../clock.ts'

export interface VirtualClock extends Clock {
  /**
   * Lets `ms` pass. Sleeps end one by one in the order they are due, and what each sets in motion settles before the
   * next ends.
   */
  advance(ms: number): Promise<void>
  /** Lets time pass until `event` settles. @throws Error when it has not within `limitMs` of the clock's time. */
  until<T>(event: Promise<T>, limitMs?: number): Promise<T>
  /** How many sleeps have not ended. */
  readonly sleeping: number
}

interface Sleep {
  dueMs: number
  order: number
  wake: () => void
}

/**
 * A clock that stands still unless told to advance.
 * `turns`: turns of the event loop given to whatever a sleep woke before the next one ends. One is enough for promises;
 * calls over loopback sockets need about 20.
 */
export function virtualClock(startMs = 0, turns = 1): VirtualClock {
  let nowMs = startMs
  let order = 0
  const sleeps: Sleep[] = []

  const settle = async () => {
    for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
  }
  const step = async (limitMs: number): Promise<boolean> => {
    await settle()
    const next = sleeps[0]
    if (!next || next.dueMs > limitMs) return false
    sleeps.shift()
    nowMs = Math.max(nowMs, next.dueMs)
    next.wake()
    return true
  }

  return {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise(resolve => {
        if (signal?.aborted) return resolve()
        const wake = () => {
          signal?.removeEventListener('abort', cancel)
          resolve()
        }
        const sleep = { dueMs: nowMs + Math.max(0, ms), order: order++, wake }
        const cancel = () => {
          sleeps.splice(sleeps.indexOf(sleep), 1)
          resolve()
        }
        signal?.addEventListener('abort', cancel, { once: true })
        insert(sleeps, sleep)
      }),
    advance: async ms => {
      const endMs = nowMs + ms
      while (await step(endMs));
      nowMs = endMs
      await settle()
    },
    until: async (event, limitMs = 600_000) => {
      const endMs = nowMs + limitMs
      let settled = false
      const mark = () => (settled = true)
      event.then(mark, mark)
      for (;;) {
        await settle()
        if (settled) return event
        if (!(await step(endMs))) {
          throw new Error(`nothing happened within ${limitMs} ms of the virtual clock`)
        }
      }
    },
    get sleeping() {
      return sleeps.length
    },
  }
}

function insert(sleeps: Sleep[], sleep: Sleep): void {
  let low = 0
  let high = sleeps.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const other = sleeps[middle]
    if (
      other &&
      (other.dueMs < sleep.dueMs || (other.dueMs === sleep.dueMs && other.order < sleep.order))
    ) {
      low = middle + 1
    } else {
      high = middle
    }
  }
  sleeps.splice(low, 0, sleep)
}
