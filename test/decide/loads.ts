/** Loads of requests that take a tenth of a second, and what workers can take of them. */
import type { Test } from 'tap'
import { mostArrivals } from '../../src/decide/erlang.ts'

export const load = (arrivalsPerSecond: number) => ({
  arrivalsPerSecond,
  serviceMs: 100,
  batchSize: 1,
  maxBatchDelayMs: 100,
})
/** The most arrivals per second that so many workers take. */
export const most = (workers: number) => mostArrivals(workers, load(0), 150, 0.02)

export function near(t: Test, found: number | undefined, expected: number, what: string) {
  t.ok(Math.abs((found ?? NaN) - expected) < 0.02 * expected, `${what}: ${found}, not ${expected}`)
}
