/** Time, injected: the agent runs on the wall clock, tests and the simulator on their own. */
export interface Clock {
  /** Milliseconds since the epoch, monotone. */
  now(): number
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

const startedAt = Date.now() - performance.now()

export const wallClock: Clock = {
  now: () => startedAt + performance.now(),
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, { once: true })
    }),
}
