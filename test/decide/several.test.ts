/** Goal: the load in pods where several models share one. Method: arithmetic on what is known of each. */
import t from 'tap'
import { workersNeeded } from '../../src/decide/erlang.ts'
import { Ledger, type Account } from '../../src/decide/ledger.ts'
import { podDemand } from '../../src/decide/pods.ts'
import type { View } from '../../src/decide/view.ts'
import { MIB } from './container.ts'
import { load, most, near } from './loads.ts'
import { policy } from './world.ts'

/** A pool of one worker; without a rate its load is not known. */
function viewOf(key: string, rate: number | undefined, ledger: Ledger): View {
  return {
    key,
    nowMs: 0,
    acts: true,
    policy,
    description: {},
    census: { ready: 1, loading: 0 },
    memory: {},
    memoryMost: ledger.most(key),
    listed: 1,
    needed: rate === undefined ? undefined : { lasting: load(rate), waitMs: 150 },
  } as unknown as View
}

const books = { base: 300 * MIB, first: undefined, margin: 0.1, granted: 500 * MIB, because: '' }
const account = (key: string, workers: number, kept: number, cost = 100): Account => ({
  key,
  workers,
  kept,
  cost: cost * MIB,
})

t.test('pools share the memory, whatever they hold of it now', t => {
  const lasting = 1_320 * MIB
  const at = (one: number, other: number) =>
    new Ledger({ ...books, most: lasting, lasting }, [
      account('a', one, 1),
      account('b', other, 1, 200),
    ])
  for (const ledger of [at(1, 1), at(5, 2)]) {
    t.equal(ledger.most('a'), 7, '900 MiB less one worker of the other')
    t.equal(ledger.most('b'), 4)
    near(t, ledger.share(new Map(Object.entries({ a: 5, b: 2 }))), 1, 'all of it')
    near(t, ledger.share(new Map(Object.entries({ a: 10, b: 4 }))), 2, 'two pods of it')
    near(t, ledger.share(new Map(Object.entries({ a: 7 }))), 1, 'b is fixed at one')
  }
  const open = new Ledger({ ...books, granted: Infinity, most: 0, lasting: 0 }, [
    account('a', 1, 1),
  ])
  t.equal(open.most('a'), Infinity)
  t.equal(open.share(new Map([['a', 4]])), undefined)
  t.end()
})

t.test('pools that share the memory fit when every pod has its part of each', t => {
  const lasting = 1_320 * MIB
  const ledger = new Ledger({ ...books, most: lasting, lasting }, [
    account('a', 1, 1),
    account('b', 1, 1, 200),
  ])
  const told = (a: number, b: number) =>
    podDemand([viewOf('a', a, ledger), viewOf('b', b, ledger)], 2, ledger)
  const demand = told(60, 30) ?? NaN
  const bytes = (pods: number) =>
    workersNeeded(load(60 / pods), 150, 0.02) * 100 +
    workersNeeded(load(30 / pods), 150, 0.02) * 200
  t.ok(bytes(demand) <= 900, `${bytes(demand)} MiB of 900 in each of ${demand} pods`)
  t.ok(bytes(0.99 * demand) > 900, 'and no less')
  near(t, told(600, 300), 10 * demand, 'ten times the load')
  t.equal(told(0, 0), 0)
  t.end()
})

t.test('a model of which nothing is known keeps no pods from the others', t => {
  const ledger = new Ledger({ ...books, granted: Infinity, most: 0, lasting: 0 }, [])
  const told = (rate: number, pools = 2, other = viewOf('b', undefined, ledger)) =>
    podDemand([viewOf('a', rate, ledger), other], pools, ledger)
  const full = most(8)
  t.equal(told(0.9 * full), undefined, 'it may be what fills the pod')
  near(t, told(3 * full), 3, 'as many are needed without it')
  const idle = viewOf('b', 0, ledger)
  t.equal(told(0.9 * full, 3, idle), undefined, 'a third one is not described')
  near(t, told(3 * full, 3, idle), 3, 'nor does that matter here')
  t.end()
})
