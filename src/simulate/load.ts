import { Pool } from 'undici'
import type { Clock } from '../clock.ts'
import { exponential, random } from './random.ts'

/** Requests per second at a time since the start; never more than 2 000 are sent. */
export type Rate = (sinceStartMs: number) => number

/** The rate is looked at this often. */
const STEP_MS = 50
const TIMEOUT_MS = 30_000
const OUTSTANDING = 256
/** Beyond this, one process would measure itself. */
const MOST_PER_SECOND = 2_000

/**
 * What became of one arrival. `failed`: a status of 500 or more; `refused`: any other that is not a success; `reset`: the
 * connection broke; `shed`: never sent, because too many were outstanding.
 */
type Fate = 'ok' | 'failed' | 'refused' | 'reset' | 'timeout' | 'shed'

interface Result {
  fate: Fate
  /** Absent without an answer. */
  status: number | undefined
  /** When it arrived, on the clock. */
  atMs: number
  latencyMs: number
}

export interface LoadOptions {
  /** The prediction to ask for, with POST. */
  url: string
  rate: Rate
  clock: Clock
  seed: number
  /** Ends the arrivals, and whatever is outstanding. */
  signal: AbortSignal
  onResult?: (result: Result) => void
  /** Requests that may be under way at once; 256. */
  outstanding?: number
  /** 30 000. */
  timeoutMs?: number
}

export interface Totals extends Record<Fate, number> {
  /** Sum over those that were `ok`. */
  latencyMs: number
}

/**
 * Sends requests whose arrivals are a Poisson process: independent of each other and of the answers, as those of many users are.
 * Resolves when the signal is aborted; requests under way by then are not counted.
 */
export async function openLoop(options: LoadOptions): Promise<Totals> {
  const { clock, signal, onResult, outstanding = OUTSTANDING } = options
  const { origin, pathname, search } = new URL(options.url)
  const pool = new Pool(origin, { connections: outstanding, pipelining: 1 })
  const totals: Totals = {
    ok: 0,
    failed: 0,
    refused: 0,
    reset: 0,
    timeout: 0,
    shed: 0,
    latencyMs: 0,
  }
  const underWay = new Set<Promise<void>>()

  const count = (result: Result) => {
    if (signal.aborted) return
    totals[result.fate]++
    if (result.fate === 'ok') totals.latencyMs += result.latencyMs
    onResult?.(result)
  }
  const send = async () => {
    const atMs = clock.now()
    const { fate, status } = await ask(pool, pathname + search, options)
    count({ fate, status, atMs, latencyMs: clock.now() - atMs })
  }

  for await (const atMs of arrivals(options)) {
    if (underWay.size >= outstanding) {
      count({ fate: 'shed', status: undefined, atMs, latencyMs: 0 })
      continue
    }
    const sent = send().finally(() => underWay.delete(sent))
    underWay.add(sent)
  }
  await pool.destroy()
  await Promise.all(underWay)
  return totals
}

/** Times of arrivals, each given when it has come. */
async function* arrivals({ clock, rate, seed, signal }: LoadOptions): AsyncGenerator<number> {
  const draw = random(seed, 'arrivals')
  const startMs = clock.now()
  let atMs = startMs
  let missing = exponential(draw)
  while (!signal.aborted) {
    const perMs = Math.min(Math.max(0, rate(atMs - startMs)), MOST_PER_SECOND) / 1_000
    const arrives = perMs * STEP_MS >= missing
    atMs += arrives ? missing / perMs : STEP_MS
    missing = arrives ? exponential(draw) : missing - perMs * STEP_MS
    const dueInMs = atMs - clock.now()
    if (dueInMs > 0) await clock.sleep(dueInMs, signal)
    if (arrives && !signal.aborted) yield atMs
  }
}

async function ask(
  pool: Pool,
  path: string,
  { clock, timeoutMs = TIMEOUT_MS }: LoadOptions,
): Promise<{ fate: Fate; status: number | undefined }> {
  const late = new AbortController()
  const settled = new AbortController()
  void clock.sleep(timeoutMs, settled.signal).then(() => late.abort())
  try {
    const call = { method: 'POST', path, signal: late.signal } as const
    const { statusCode: status, body } = await pool.request(call)
    await body.dump()
    const fate = status < 300 ? 'ok' : status >= 500 ? 'failed' : 'refused'
    return { fate, status }
  } catch {
    return { fate: late.signal.aborted ? 'timeout' : 'reset', status: undefined }
  } finally {
    settled.abort()
  }
}

/** One stretch of load; rates are requests per second. */
export type Phase =
  | { kind: 'calm' | 'step'; forMs: number; rate: number }
  | { kind: 'ramp'; forMs: number; from: number; to: number }
  /** `peak` for the first `burstMs` of every `everyMs`, else `rate`. */
  | { kind: 'burst'; forMs: number; rate: number; peak: number; everyMs: number; burstMs: number }

/** The phases one after the other; then again and again, or, without `repeat`, nothing. */
export function phases(list: readonly Phase[], { repeat = false } = {}): Rate {
  const totalMs = list.reduce((sum, { forMs }) => sum + forMs, 0)
  return sinceStartMs => {
    let sinceMs = repeat ? sinceStartMs % totalMs : sinceStartMs
    for (const phase of list) {
      if (sinceMs < phase.forMs) return rateWithin(phase, sinceMs)
      sinceMs -= phase.forMs
    }
    return 0
  }
}

function rateWithin(phase: Phase, sinceMs: number): number {
  switch (phase.kind) {
    case 'calm':
    case 'step':
      return phase.rate
    case 'ramp':
      return phase.from + ((phase.to - phase.from) * sinceMs) / phase.forMs
    case 'burst':
      return sinceMs % phase.everyMs < phase.burstMs ? phase.peak : phase.rate
  }
}
