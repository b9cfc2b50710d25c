import type { Clock } from '../clock.ts'
import type { Decoy, DecoyAnswer } from '../clients/decoy.ts'
import { asleep, type Processes } from '../clients/processes.ts'
import { Alibis, Line, standsStill, type Listed, type Unlisted } from './line.ts'
import type { Stoppable } from './stopping.ts'

/** A client's job that reached the stopped worker before the decoy waits no longer than this. */
const PROOF_MS = 40
/** How long the victim is waited for to become first in line before a try is made anyway. */
const TURN_MS = 400
const LOOK_MS = 1

export interface Retiring {
  clock: Clock
  processes: Processes
  /** The last of the list: the one that TorchServe kills next. */
  victim: Listed
  others: readonly Listed[]
  /** They serve like the others, and only their threads can be seen. */
  unlisted: readonly Unlisted[]
  worker: Stoppable
  sendDecoy(): Decoy
  /** Jobs that wait in the queue now. */
  pending(): Promise<number>
  /** PUT N − 1. */
  remove(): Promise<void>
  untilMs: number
}

export type Retired =
  | { kind: 'removed'; tries: number; delayedMs: number }
  | { kind: 'abandoned'; why: string; tries: number; delayedMs: number }
  | { kind: 'disliked'; status: number }

/**
 * Takes a worker away while it provably holds nothing but a decoy of ours. It is stopped while idle, so that TorchServe, which
 * hands one job at a time to a worker, gives it the decoy and then nothing more; only then is the count lowered, by which the
 * victim dies. A client's job that gets there first goes on within PROOF_MS, and it is tried again.
 */
export async function retire(on: Retiring): Promise<Retired> {
  let tries = 0
  let delayedMs = 0
  while (on.clock.now() < on.untilMs) {
    if (!(await waitForTurn(on))) break
    tries++
    const attempt = await attemptOnce(on)
    if (attempt.kind === 'disliked') return attempt
    if (attempt.kind === 'removed') return { kind: 'removed', tries, delayedMs }
    delayedMs += attempt.delayedMs
    if (attempt.kind === 'changed') {
      return { kind: 'abandoned', why: attempt.why, tries, delayedMs }
    }
    await on.clock.sleep(LOOK_MS)
  }
  return {
    kind: 'abandoned',
    why: 'no moment was found at which it provably held nothing',
    tries,
    delayedMs,
  }
}

/** Resolves when the victim is idle and either first in line or idle for long; `false` when time is up. */
async function waitForTurn(on: Retiring): Promise<boolean> {
  const line = new Line(on.processes)
  while (on.clock.now() < on.untilMs) {
    const nowMs = on.clock.now()
    line.look([on.victim, ...on.others], nowMs)
    if (line.isFirst(on.victim.id) || line.idleForMs(on.victim.id, nowMs) > TURN_MS) return true
    await on.clock.sleep(LOOK_MS)
  }
  return false
}

type Attempt =
  | { kind: 'removed' }
  | { kind: 'missed'; delayedMs: number }
  | { kind: 'changed'; why: string; delayedMs: number }
  | { kind: 'disliked'; status: number }

async function attemptOnce(on: Retiring): Promise<Attempt> {
  const { clock, processes, victim, worker } = on
  const alibis = new Alibis(processes, victim.pid, [...on.others, ...on.unlisted])
  const before = processes.thread(victim.id, victim.pid)
  if (before === undefined || !asleep(before) || processes.look(victim.pid) !== 'idle') {
    return { kind: 'missed', delayedMs: 0 }
  }
  const stoppedMs = clock.now()
  if (!worker.stop())
    return { kind: 'changed', why: 'the worker could not be stopped', delayedMs: 0 }
  const decoy = on.sendDecoy()
  try {
    const proof = await prove(on, decoy, alibis, stoppedMs + PROOF_MS)
    if (proof.kind === 'proven') {
      await on.remove()
      return { kind: 'removed' }
    }
    worker.goOn()
    const delayedMs = clock.now() - stoppedMs
    if (proof.kind === 'changed') return { ...proof, delayedMs }
    const answer = await answered(on, decoy)
    return answer?.isHandlersError
      ? { kind: 'disliked', status: answer.status }
      : { kind: 'missed', delayedMs }
  } finally {
    worker.goOn()
    decoy.close()
  }
}

type Proof = { kind: 'proven' } | { kind: 'unproven' } | { kind: 'changed'; why: string }

/**
 * Proves that it is the victim which has the decoy. The decoy was queued; once TorchServe has stood still it lies in the queue
 * or with a worker; if the queue is empty after that, it is with a worker; and if TorchServe then stands still again while every
 * other worker has an alibi, it is with the victim, and nothing else is.
 */
async function prove(on: Retiring, decoy: Decoy, alibis: Alibis, untilMs: number): Promise<Proof> {
  const { clock, processes, victim } = on
  const isOpen = () => clock.now() < untilMs && decoy.answer === undefined
  const queued = await by(
    clock,
    untilMs,
    decoy.queued.catch(() => 'lost' as const),
  )
  if (queued === 'lost') return { kind: 'changed', why: 'the decoy never reached TorchServe' }
  if (!queued) return { kind: 'unproven' }
  if (queued.workers.at(-1) !== victim.id || queued.workers.length !== on.others.length + 1) {
    return { kind: 'changed', why: 'the list of workers changed meanwhile' }
  }
  for (let isTaken = false; isOpen() && !isTaken; await clock.sleep(LOOK_MS)) {
    if (!standsStill(processes, victim.pid)) continue
    const pending = await by(clock, untilMs, on.pending())
    if (Number.isNaN(pending)) {
      return { kind: 'changed', why: 'this TorchServe does not tell its queue' }
    }
    isTaken = pending === 0
  }
  while (isOpen()) {
    const isClear = alibis.allClear()
    // Another worker may have answered it already: the reply lies in our socket then, and is read in this pause.
    await clock.sleep(LOOK_MS)
    if (isClear && isOpen()) return { kind: 'proven' }
  }
  return { kind: 'unproven' }
}

/** What the promise gives, or undefined when it is not there by then: a stopped worker waits for no reply. */
function by<T>(clock: Clock, untilMs: number, promise: Promise<T>): Promise<T | undefined> {
  const late = clock.sleep(Math.max(0, untilMs - clock.now())).then(() => undefined)
  return Promise.race([promise, late])
}

/** The decoy's answer, which the next try waits for; undefined when it stays open for too long. */
async function answered(on: Retiring, decoy: Decoy): Promise<DecoyAnswer | undefined> {
  while (decoy.answer === undefined && on.clock.now() < on.untilMs)
    await on.clock.sleep(LOOK_MS * 5)
  return decoy.answer
}
