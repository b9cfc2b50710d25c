import t from 'tap'
import { retire, type Retiring } from '../../src/actuate/retire.ts'
import type { Decoy, DecoyAnswer } from '../../src/clients/decoy.ts'
import type { Doing } from '../../src/clients/processes.ts'
import { virtualClock } from '../../src/simulate/clock.ts'

const queued = { pending: 0, workers: ['1', '2'] }

/** Two idle workers, of which the second is to go; a decoy that stays open, and a queue that is empty. */
function setUp(
  what: {
    decoy?: Partial<Decoy>
    pending?: number
    looks?: () => Doing
    /** What the other worker is doing; idle. */
    others?: Doing
    /** What the others' threads say at a time after the decoy was sent. */
    thread?: () => string
    /** How long TorchServe takes to tell its queue. */
    pendingMs?: number
    still?: () => string | undefined
    answer?: () => DecoyAnswer | undefined
    unlisted?: readonly { id: string }[]
    /** How long TorchServe takes to say that the decoy is queued. */
    queuedAfterMs?: number
  } = {},
) {
  const clock = virtualClock(1_000_000)
  const victim = { id: '2', pid: 20 }
  const state = { stopped: false, removed: 0, stops: 0, stoppedMs: 0, longestMs: 0 }
  const on: Retiring = {
    clock,
    victim,
    others: [{ id: '1', pid: 10 }],
    unlisted: what.unlisted ?? [],
    processes: {
      look: pid => (pid === victim.pid ? (what.looks?.() ?? 'idle') : (what.others ?? 'idle')),
      thread: id => (id !== victim.id && what.thread ? what.thread() : `${id}:S1`),
      still: () => (what.still ? what.still() : 'all asleep'),
      siblings: () => [],
      use: () => undefined,
      isWorker: () => true,
      signal: () => true,
    },
    worker: {
      stop: () => {
        state.stops++
        state.stoppedMs = clock.now()
        return (state.stopped = true)
      },
      goOn: () => {
        if (state.stopped)
          state.longestMs = Math.max(state.longestMs, clock.now() - state.stoppedMs)
        state.stopped = false
      },
    },
    sendDecoy: () => ({
      queued: clock.sleep(what.queuedAfterMs ?? 0).then(() => queued),
      close: () => {},
      ...what.decoy,
      get answer() {
        return what.answer?.()
      },
    }),
    pending: async () => {
      await clock.sleep(what.pendingMs ?? 0)
      return what.pending ?? 0
    },
    remove: () => Promise.resolve(void state.removed++),
    untilMs: clock.now() + 1_000,
  }
  const ended = async (ms: number) => {
    let result: Awaited<ReturnType<typeof retire>> | undefined
    const retiring = retire(on).then(end => (result = end))
    await clock.advance(ms)
    return { result, retiring }
  }
  return { state, ended, clock }
}

t.test('what holds the decoy goes', async t => {
  const { state, ended } = setUp()
  t.match((await ended(200)).result, { kind: 'removed', tries: 1 })
  t.equal(state.removed, 1)
  t.equal(state.stopped, false)
})

t.test('a worker that dies meanwhile, or never idles, is never stopped', async t => {
  for (const doing of ['gone', 'busy'] as const) {
    const { state, ended } = setUp({ looks: () => doing })
    t.match((await ended(1_500)).result, { kind: 'abandoned', why: /no moment/ })
    t.match(state, { stops: 0, removed: 0 })
  }
})

t.test('a queue that can no longer be read proves nothing', async t => {
  const decoy = { queued: Promise.resolve({ ...queued, pending: 1 }) }
  const { state, ended } = setUp({ decoy, pending: NaN })
  t.match((await ended(1_500)).result, { kind: 'abandoned', why: /does not tell its queue/ })
  t.match(state, { removed: 0, stopped: false })
})

t.test('a decoy that was lost is not waited for', async t => {
  const lost = Promise.reject(new Error('connection closed'))
  lost.catch(() => {})
  const { state, ended } = setUp({ decoy: { queued: lost } })
  t.match((await ended(100)).result, { kind: 'abandoned', why: /never reached/ })
  t.match(state, { removed: 0, stopped: false })
})

t.test('a client’s job may be on the stopped worker: it goes on within 50 ms', async t => {
  let moved = 0
  const doubts = {
    'a thread that moved and a process that is busy': {
      thread: () => `1:S${moved++}`,
      looks: () => 'idle' as const,
    },
    'a TorchServe that is at work': { still: () => undefined },
    'a TorchServe that works in between': { still: () => String(moved++) },
    'a queue that is slow to be told': { pendingMs: 3_000 },
    'jobs that wait': { pending: 1, decoy: { queued: Promise.resolve({ ...queued, pending: 1 }) } },
    'a TorchServe that does not say whether the decoy is queued': { queuedAfterMs: 5_000 },
  }
  for (const [name, doubt] of Object.entries(doubts)) {
    const { state, ended } = setUp({ ...doubt, others: 'busy' })
    t.match((await ended(30_000)).result, { kind: 'abandoned' }, name)
    t.ok(state.stops > 0, `${name}: it was tried`)
    t.ok(state.longestMs <= 50, `${name}: ${state.longestMs} ms`)
    t.match(state, { removed: 0, stopped: false })
  }
})

t.test('an unlisted worker that moved may have taken the decoy', async t => {
  let moved = 0
  const moving = { unlisted: [{ id: '9' }], thread: () => `9:S${moved++}` }
  const { state, ended } = setUp(moving)
  t.match((await ended(30_000)).result, { kind: 'abandoned', why: /no moment/ })
  t.ok(state.stops > 0)
  t.match(state, { removed: 0, stopped: false })
})

t.test('an answer that is on its way to us when all look innocent is waited for', async t => {
  let looks = 0
  let readMs = Infinity
  const { state, ended, clock } = setUp({
    // Another worker has answered by the last look; the reply is read from the socket in the next pause.
    still: () => {
      if (++looks === 4) readMs = clock.now() + 0.5
      return 'all asleep'
    },
    answer: () => (clock.now() >= readMs ? { status: 200, isHandlersError: false } : undefined),
  })
  await ended(3)
  t.ok(looks >= 4)
  t.equal(state.removed, 0)
})
