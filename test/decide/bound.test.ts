/** What workers can need at most, where nothing tells what one does, in pods of several pools. */
import t from 'tap'
import { firstOf } from '../../src/decide/bound.ts'
import { Ledger, type Account } from '../../src/decide/ledger.ts'
import type { PoolUse } from '../../src/decide/pod.ts'
import { Container, MIB } from './container.ts'

const account = (key: string, workers: number, costMib?: number): Account => ({
  key,
  workers,
  kept: 1,
  cost: costMib === undefined ? undefined : costMib * MIB,
})

/** A cap of 4400 MiB, and 1100 of them in use when each pool had one worker. */
const ledgerOf = (accounts: Account[], grantedMib = 1_100) =>
  new Ledger(
    {
      base: undefined,
      first: {
        bytes: 1_100 * MIB,
        requestBytes: undefined,
        workers: new Map([
          ['heavy', 1],
          ['light', 1],
        ]),
      },
      margin: 0.1,
      granted: grantedMib * MIB,
      most: 4_400 * MIB,
      lasting: 4_400 * MIB,
      because: 'the cap is 4400 MiB',
    },
    accounts,
  )

t.test('of two pools one may have needed nearly all of it', t => {
  const ledger = ledgerOf([account('heavy', 1), account('light', 1)])
  t.equal(ledger.need, 1_100 * MIB, 'what is there needs no more than there is')
  t.match(ledger.admit('heavy', 2), { kind: 'asked', to: 2, bytes: 2_200 * MIB })
  const raised = ledgerOf([account('heavy', 1), account('light', 1)], 2_200)
  t.match(raised.admit('heavy', 3), { kind: 'granted', to: 2 })
  t.match(raised.admit('light', 2), { kind: 'granted', to: 2 }, 'twice all is enough for both')
  t.match(raised.admit('light', 3), { kind: 'asked', bytes: 3_300 * MIB })
  t.equal(raised.most('heavy'), 4)
  t.equal(raised.share(new Map([['heavy', 2]]))?.toFixed(3), '0.500', 'half of the most')
  t.match(ledgerOf([account('heavy', 4), account('light', 1)], 4_400).admit('heavy', 5), {
    kind: 'refused',
    why: 'one worker more needs 5500 MiB and the cap is 4400 MiB',
  })
  t.end()
})

t.test('workers of which the cost is known are added by that', t => {
  const ledger = ledgerOf([account('heavy', 1), account('light', 3, 100)])
  t.equal(ledger.need, (1_100 + 2 * 110) * MIB)
  t.equal(ledger.isBound('heavy'), true)
  t.equal(ledger.isBound('light'), false)
  t.equal(ledger.most('light'), 31)
  t.end()
})

t.test('fewer workers than at first may need as much', t => {
  t.equal(ledgerOf([account('heavy', 1), account('light', 0)]).need, 1_100 * MIB)
  t.equal(ledgerOf([account('heavy', 0), account('light', 0)]).need, 1_100 * MIB)
  t.end()
})

t.test('it is taken once one pool serves, and again only for a new one', t => {
  const { state } = new Container({ requestMib: 600, limitMib: 1_100, qosClass: 'Burstable' })
  const seen = (limitMib: number | undefined) => {
    const desired = { requestBytes: 600 * MIB, limitBytes: limitMib && limitMib * MIB }
    const value = { ...state, container: { ...state.container, desired, actual: desired } }
    const memory = { state: 'absent', why: 'not shared' } as const
    return { state: { state: 'fresh', value, atMs: 0 } as const, memory }
  }
  const torchserve = { state: 'fresh', value: { url: 'http://127.0.0.1:8081' }, atMs: 0 } as const
  const use = (key: string, isSure: boolean): PoolUse => ({
    ...account(key, 1),
    isSure,
    used: undefined,
  })
  const [asked, unasked, later] = [use('a', true), use('b', false), use('c', false)]
  t.equal(firstOf(undefined, seen(1_100), torchserve, [unasked]), undefined)
  t.match(
    firstOf(undefined, seen(undefined), torchserve, [asked]),
    { bytes: 600 * MIB },
    'without a limit, the request',
  )
  const first = firstOf(undefined, seen(1_100), torchserve, [asked, unasked])
  t.match(first, { bytes: 1_100 * MIB, requestBytes: 600 * MIB })
  t.equal(firstOf(first, seen(2_200), torchserve, [asked, unasked]), first, 'raised since')
  const again = firstOf(first, seen(2_200), torchserve, [asked, unasked, later])
  t.equal(again?.bytes, 2_200 * MIB)
  t.end()
})
