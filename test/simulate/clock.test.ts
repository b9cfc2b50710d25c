import t from 'tap'
import { virtualClock } from '../../src/simulate/clock.ts'

t.test('sleeps end in the order they are due, also those begun meanwhile', async t => {
  const clock = virtualClock(1_000)
  const seen: string[] = []
  const note = async (name: string, ms: number) => {
    await clock.sleep(ms)
    seen.push(`${name} ${clock.now()}`)
  }
  const chain = note('a', 10).then(() => note('b', 10))
  const others = [note('c', 30), note('d', 15), note('e', 15)]
  await clock.advance(20)
  t.same(seen, ['a 1010', 'd 1015', 'e 1015', 'b 1020'])
  t.equal(clock.now(), 1_020)
  t.equal(clock.sleeping, 1)
  await clock.advance(100)
  await Promise.all([chain, ...others])
  t.equal(seen.at(-1), 'c 1030')
  t.equal(clock.now(), 1_120)
})

t.test('an aborted sleep ends at once and is forgotten', async t => {
  const clock = virtualClock()
  const stop = new AbortController()
  const sleep = clock.sleep(1_000, stop.signal)
  stop.abort()
  await sleep
  await clock.sleep(1_000, stop.signal)
  t.equal(clock.sleeping, 0)
  t.equal(clock.now(), 0)
})

t.test('until stops as soon as the event has come', async t => {
  const clock = virtualClock()
  const late = clock.sleep(5_000)
  t.equal(await clock.until(clock.sleep(70).then(() => 'there')), 'there')
  t.equal(clock.now(), 70)
  await t.rejects(clock.until(late, 100), { message: /within 100 ms/ })
  await t.rejects(clock.until(Promise.reject(new Error('broken'))), { message: 'broken' })
})
