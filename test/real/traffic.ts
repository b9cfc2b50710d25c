/**
 * Open-loop load: Poisson arrivals that come whether or not earlier ones were answered, from a process of its own so that
 * a busy test does not disturb them. Each request carries a unique id in its body, which the handlers log, so that what
 * clients saw can be compared with what ran.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Execution } from './models.ts'

export interface TrafficOptions {
  /** The model's prediction URL, `http://…/predictions/{model}`. */
  url: string
  /** Mean arrivals per second; 0 sends nothing. */
  rps: number
  /** Same seed, same gaps. Part of every request id, so give generators of one model different seeds. */
  seed: number
  /** A request without a whole answer after this long has hung. Default 10 s. */
  timeoutMs?: number
  headers?: Record<string, string>
}

/** One request. Times are milliseconds since the epoch. */
export interface Sent {
  id: string
  /** When the arrival process said it should go; it went at sentMs. */
  dueMs: number
  sentMs: number
  latencyMs: number
  /** The status; or the connection broke, was refused, or nothing came in time. */
  outcome: number | 'reset' | 'refused' | 'hung'
}

export interface Report {
  requests: Sent[]
  /** How late the generator itself sent, 99 of 100 requests; a delay below this says nothing of the server. */
  lagP99Ms: number
}

export interface Verdict {
  sent: number
  /** Answered 2xx. */
  answered: number
  /** Answered otherwise, or the connection broke or was refused. */
  lost: Sent[]
  hung: Sent[]
  /** Ids that a handler began more than once, with how often. */
  repeated: { id: string; times: number }[]
  /** From sending to the whole answer, of the answered ones. */
  latencyMs: { p50: number; p95: number; p99: number; max: number }
  lagP99Ms: number
}

export interface Traffic {
  /** From now on. */
  setRate(rps: number): void
  /** Sends nothing more, waits for what is under way (at most the request timeout), and ends the process. */
  stop(): Promise<Report>
}

export type Order = { kind: 'rate'; rps: number } | { kind: 'stop' }

/** Starts sending at once. The process ends with this one, however that ends. `within` makes of a command one that has another network. */
export function startTraffic(
  options: TrafficOptions,
  within: (command: readonly string[]) => readonly string[] = command => command,
): Traffic {
  const program = join(import.meta.dirname, 'traffic-process.ts')
  const [execPath = '', ...execArgv] = within([process.execPath])
  const child = fork(program, [JSON.stringify(options)], { execPath, execArgv })
  const ended = once(child, 'exit')
  const tell = (order: Order) => void child.send(order)
  return {
    setRate: rps => tell({ kind: 'rate', rps }),
    stop: async () => {
      const received = once(child, 'message')
      tell({ kind: 'stop' })
      const early = ended.then(([code]) =>
        Promise.reject(new Error(`the load generator died: ${code}`)),
      )
      const [requests]: Sent[][] = await Promise.race([received, early])
      await ended
      return { requests: requests ?? [], lagP99Ms: lagP99(requests ?? []) }
    },
  }
}

/** What clients saw, held against what the handlers did. */
export function judge(report: Report, executions: readonly Execution[]): Verdict {
  const { requests, lagP99Ms } = report
  const answered = requests.filter(wasAnswered)
  const begun = new Map<string, number>()
  for (const { id } of executions) begun.set(id, (begun.get(id) ?? 0) + 1)
  const latencies = answered.map(({ latencyMs }) => latencyMs)
  const hung = requests.filter(({ outcome }) => outcome === 'hung')
  return {
    sent: requests.length,
    answered: answered.length,
    lost: requests.filter(each => !wasAnswered(each) && each.outcome !== 'hung'),
    hung,
    repeated: [...begun].flatMap(([id, times]) => (times > 1 ? [{ id, times }] : [])),
    latencyMs: {
      p50: quantile(latencies, 0.5),
      p95: quantile(latencies, 0.95),
      p99: quantile(latencies, 0.99),
      max: quantile(latencies, 1),
    },
    lagP99Ms,
  }
}

function wasAnswered({ outcome }: Sent): boolean {
  return typeof outcome === 'number' && outcome < 300
}

function lagP99(requests: readonly Sent[]): number {
  return quantile(
    requests.map(({ dueMs, sentMs }) => sentMs - dueMs),
    0.99,
  )
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
