import t from 'tap'
import { createAnnouncer, type Event } from '../../src/inject/events.ts'
import type { Answer } from '../../src/inject/review.ts'
import { virtualClock } from '../../src/simulate/clock.ts'

const answer = (
  uid: string,
  outcome: Answer['outcome'] = 'injected',
  code = 'injected',
): Answer => ({
  body: {},
  outcome,
  reasons: [
    { code: code as never, message: `said ${code}` },
    { code: 'user_assumed', message: 'by the way' },
  ],
  owner: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', namespace: 'ml', uid },
  pod: 'ml/r-',
})

t.test('an owner is told once of each thing within ten minutes', async t => {
  const clock = virtualClock(1_000)
  const sent: Event[] = []
  const announcer = createAnnouncer(
    async event => void sent.push(event),
    clock,
    () => t.fail(),
  )
  announcer.announce(answer('a'))
  announcer.announce(answer('a'))
  announcer.announce(answer('a', 'refused', 'host_network'))
  announcer.announce(answer('b'))
  announcer.announce(answer('c', 'skipped', 'disabled'))
  announcer.announce(answer('c', 'failed', 'internal_error'))
  announcer.announce({ ...answer('d'), owner: undefined })
  await announcer.settled()
  t.same(
    sent.map(({ owner, type, reason, message }) => [owner.uid, type, reason, message]),
    [
      ['a', 'Normal', 'StokerInjected', 'said injected; by the way'],
      ['a', 'Warning', 'StokerRefused', 'said host_network; by the way'],
      ['b', 'Normal', 'StokerInjected', 'said injected; by the way'],
    ],
  )
  await clock.advance(10 * 60_000)
  announcer.announce(answer('a'))
  await announcer.settled()
  t.equal(sent.length, 4)
})

t.test('a slow or failing API server loses Events and nothing else', async t => {
  const clock = virtualClock()
  const errors: unknown[] = []
  let calls = 0
  const post = async () => {
    calls += 1
    await clock.sleep(1_000)
    throw new Error('unavailable')
  }
  const announcer = createAnnouncer(post, clock, error => errors.push(error))
  for (let n = 0; n < 500; n += 1) announcer.announce(answer(String(n)))
  await clock.until(announcer.settled())
  t.equal(calls, 101, 'one in flight, a hundred waiting')
  t.equal(errors.length, 101)
})
