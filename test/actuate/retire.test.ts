import t from 'tap'
import { retire, type Retiring } from '../../src/actuate/retire.ts'
import type { Decoy } from '../../src/clients/decoy.ts'
import type { Doing } from '../../src/clients/processes.ts'
import { virtualClock } from '../../src/simulate/clock.ts'

const queued = { pending: 0, workers: ['1', '2'] }

/** Two idle workers, of which the second is to go; a decoy that stays open, and a queue that is empty. */
function setUp(what: { decoy?: Partial<Decoy>; pending?: number; looks?: () => Doing } = {}) {
  const clock = virtualClock(1_000_000)
  const victim = { id: '2', pid: 20 }
  const state = { stopped: false, removed: 0, stops: 0 }
  const on: Retiring = {
    clock,
    victim,
    others: [{ id: '1', pid: 10 }],
    processes: {
      look: pid => (pid === victim.pid && what.looks ? what.looks() : 'idle'),
      thread: id => `${id}:S1`,
      isWorker: () => true,
      signal: () => true,
    },
    worker: {
      stop: () => {
        state.stops++
        return (state.stopped = true)
      },
      goOn: () => void (state.stopped = false),
    },
    sendDecoy: () => ({
      queued: Promise.resolve(queued),
      answer: undefined,
      close: () => {},
      ...what.decoy,
    }),
    arrivals: () => Promise.resolve('1'),
    pending: () => Promise.resolve(what.pending ?? 0),
    remove: () => Promise.resolve(void state.removed++),
    untilMs: clock.now() + 1_000,
  }
  const ended = async (ms: number) => {
    let result: Awaited<ReturnType<typeof retire>> | undefined
    const retiring = retire(on).then(end => (result = end))
    await clock.advance(ms)
    return { result, retiring }
  }
  return { state, ended }
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
