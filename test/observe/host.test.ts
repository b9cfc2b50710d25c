/** Goal: how busy the machine is now, not how busy it was on average. Method: processor times that are set; real memory. */
import { totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createHostWatch } from '../../src/observe/host.ts'
import { movable } from './gpu/rig.ts'

/** A machine of two CPUs, of which the first does all the work. */
function machine() {
  const { clock, time } = movable()
  let [busyMs, idleMs] = [0, 0]
  const none = { user: 0, nice: 0, sys: 0, irq: 0, idle: 0 }
  const host = createHostWatch(clock, () => [
    { times: { ...none, user: busyMs / 2, sys: busyMs / 2, idle: idleMs } },
    { times: { ...none, idle: busyMs + idleMs } },
  ])
  return {
    host,
    /** Time goes by with the first CPU this busy; 0.5 is the most that both can be. */
    pass(ms: number, busy: number) {
      time.aheadMs += ms
      busyMs += ms * busy * 2
      idleMs += ms * (1 - busy * 2)
    },
    /** Looks until the measurement that this starts has ended. */
    async look(known: () => boolean = () => true) {
      host.look()
      for (let tries = 0; tries < 200 && !known(); tries++) await sleep(5)
      return host.look()
    },
  }
}

const busyOf = (host: ReturnType<typeof createHostWatch>) => {
  const seen = host.look()
  return seen.state === 'fresh' ? seen.value.cpuBusy : undefined
}
const about = (busy: number) => (host: ReturnType<typeof createHostWatch>) =>
  Math.abs((busyOf(host) ?? -1) - busy) < 0.01

t.test('the first average is not that of the time when nobody looked', async t => {
  const { host, look, pass } = machine()
  pass(3_600_000, 0.5)
  t.same(await look(), { state: 'absent', why: 'not measured yet' })
  await sleep(50)
  t.match(host.look(), { state: 'absent' }, 'one reading of the processors is no average')
  pass(5_000, 0.1)
  t.match(await look(() => about(0.1)(host)), { state: 'fresh' })
  t.ok(about(0.1)(host))
})

t.test('every five seconds anew, over all CPUs, with the memory of the machine', async t => {
  const { host, look, pass } = machine()
  await look()
  for (const busy of [0.5, 0, 0.25]) {
    pass(5_000, busy)
    await look(() => about(busy)(host))
    t.ok(about(busy)(host), `${busyOf(host)} is ${busy}`)
  }
  const seen = host.look()
  if (seen.state !== 'fresh') throw new Error(seen.why)
  t.equal(seen.value.memoryTotalBytes, totalmem())
  t.ok(seen.value.memoryAvailableBytes > 0 && seen.value.memoryAvailableBytes < totalmem())
})

t.test('what nobody looked at for long is old, and does not count as the average', async t => {
  const { host, look, pass } = machine()
  await look()
  pass(5_000, 0.25)
  await look(() => about(0.25)(host))
  pass(60_000, 0.5)
  t.match(host.look(), { state: 'stale', why: /last measured 6\d s ago/ })
  await sleep(50)
  t.match(host.look(), { state: 'stale' })
  pass(5_000, 0.1)
  await look(() => about(0.1)(host))
  t.ok(about(0.1)(host))
})

t.test('processors that cannot be read are said, not taken for idle', async t => {
  const { clock, time } = movable()
  const host = createHostWatch(clock, () => [])
  host.look()
  time.aheadMs += 5_000
  const state = () => host.look()
  for (let tries = 0; tries < 100 && !/cannot be read/.test(JSON.stringify(state())); tries++) {
    await sleep(5)
  }
  t.match(state(), { state: 'absent', why: /times cannot be read/ })
})
