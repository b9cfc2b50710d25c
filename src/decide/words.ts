import type { View } from './view.ts'

/** The load and what it asks for, as the beginning of a sentence. */
export function load(view: View): string {
  const { needed, policy } = view
  if (!needed) return 'Load unknown'
  if (needed.arrivals === 0) return 'No requests'
  const waitMs = policy.maxWaitMs ?? 1.5 * needed.serviceMs
  const rate = needed.arrivals.toPrecision(needed.arrivals < 10 ? 2 : 3)
  const service = needed.serviceMs.toFixed(needed.serviceMs < 10 ? 1 : 0)
  const waiting = needed.now > needed.steady ? ` and ${view.waiting} waiting` : ''
  return `${rate} requests/s of ${service} ms${waiting} need ${needed.now} so that ${100 - policy.waitProbability * 100} % wait less than ${waitMs.toFixed(0)} ms`
}

export const count = (workers: number) => `${workers} worker${workers === 1 ? '' : 's'}`
export const are = (workers: number) => (workers === 1 ? 'is' : 'are')
export const were = (workers: number) => (workers === 1 ? 'was' : 'were')
export const seconds = (ms: number) => `${Math.max(1, Math.round(ms / 1000))} s`
export const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
/** A sentence as the end of another. */
export const unended = (sentence: string) => sentence.replace(/\.$/, '')
export const percent = (share: number) => `${Math.round(share * 100)} %`
export const inMib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
