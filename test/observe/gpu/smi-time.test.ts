/** Goal: what nvidia-smi said is known for as long as it holds, and asking never holds the agent up. Method: as beside. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { smiXml, type Card } from '../../../src/simulate/nvidia-smi.ts'
import { a100, scene, slice, smiWatching } from './rig.ts'

t.test('a source that fails takes its series along, and brings them back', async t => {
  const { look, metrics, play, settle, time } = await smiWatching(t, scene(a100))
  await settle()
  t.equal((await metrics()).length, 5)
  play({ query: 'Failed to initialize NVML: Unknown Error', after: 'exit 255' })
  time.aheadMs += 6_000
  const until = async (done: () => boolean) => {
    for (let tries = 0; tries < 300 && !done(); tries++) await sleep(10)
  }
  await until(() => look().gpus.state === 'absent')
  t.same(await metrics(), ['stoker_notes{code="NVIDIA_SMI_ACCESS_LOST"} 1'])
  play(scene(a100))
  time.aheadMs += 6_000
  await until(() => look().gpus.state === 'fresh')
  t.equal((await metrics()).length, 5)
})

t.test('how old a reading is can be seen', async t => {
  const { ages, look, settle, time } = await smiWatching(t, scene(a100), 600_000)
  await settle()
  const [young = Number.NaN] = await ages()
  t.ok(young < 2)
  time.aheadMs += 4_000
  look()
  const [older = Number.NaN] = await ages()
  t.ok(older - young >= 4 && older - young < 5, `${young} and ${older}`)
})

t.test('while it hangs, what it said before grows old and goes', async t => {
  const { look, metrics, play, settle, time } = await smiWatching(t, scene(a100), 600_000)
  await settle()
  play({ query: smiXml([a100]), after: 'sleep 1000' })
  time.aheadMs += 6_000
  look()
  await sleep(100)
  t.equal(look().gpus.state, 'fresh', 'a look never waits')
  time.aheadMs += 15_000
  t.match(look().gpus, { state: 'absent', why: /last answered 2\d s ago/ })
  t.same(await metrics(), [])
})

t.test('however slow nvidia-smi is, what is older than 30 s is not known', async t => {
  const slow = { query: smiXml([a100]), after: 'sleep 2' }
  const { look, settle, time } = await smiWatching(t, slow)
  await settle()
  time.aheadMs += 20_000
  t.equal(look().gpus.state, 'fresh')
  time.aheadMs += 9_000
  t.match(look().gpus, { state: 'absent', why: /last answered 3\d s ago/ })
})

t.test('slices are listed anew when they change, and only then', async t => {
  const { folder, look, play, settle, time } = await smiWatching(
    t,
    scene({ ...a100, mig: 'Enabled', slices: [slice(9, '1g.10gb', 9_984)] }),
  )
  await settle()
  const next = async () => {
    time.aheadMs += 6_000
    for (let tries = 0; tries < 60; tries++) {
      look()
      await sleep(10)
    }
    const { gpus } = look()
    return gpus.state === 'fresh' ? gpus.value.map(({ mig }) => mig?.profile) : gpus.why
  }
  t.same(await next(), ['1g.10gb'])
  const asked = () => readFileSync(join(folder, 'asked'), 'utf8').split('\n').filter(Boolean)
  t.same(asked(), ['-L', '-q', '-q'])
  play(scene({ ...a100, mig: 'Enabled', slices: [slice(1, '3g.40gb', 40_448)] }))
  t.same(await next(), ['3g.40gb'])
  t.same(asked(), ['-L', '-q', '-q', '-q', '-L'])
})

t.test(
  'without persistence mode the first activity, and that of an unused GPU, is not believed',
  async t => {
    const card: Card = { ...a100, persistence: 'Disabled', activity: '100 %' }
    const { look, metrics, settle, time } = await smiWatching(t, scene(card))
    const active = async () => (await metrics()).some(line => line.includes('activity'))
    await settle()
    t.notOk(await active())
    time.aheadMs += 6_000
    for (let tries = 0; tries < 40; tries++) {
      look()
      await sleep(10)
    }
    t.ok(await active())
    const idle = await smiWatching(t, scene({ ...card, usedMib: 0 }))
    await idle.settle()
    idle.time.aheadMs += 6_000
    for (let tries = 0; tries < 40; tries++) {
      idle.look()
      await sleep(10)
    }
    t.notOk((await idle.metrics()).some(line => line.includes('activity')))
  },
)
