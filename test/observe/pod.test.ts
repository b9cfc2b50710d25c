import t from 'tap'
import { StokerError } from '../../src/errors.ts'
import { createPodObserver } from '../../src/observe/pod.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { Container } from '../decide/container.ts'

function setUp(cgroup: Parameters<typeof createPodObserver>[0]['cgroup']) {
  const clock = virtualClock(1_000_000)
  const api = { reads: 0, fail: false, takesMs: 0 }
  const { state } = new Container(0)
  const observer = createPodObserver({
    cgroup,
    clock,
    kubernetes: {
      async read() {
        api.reads++
        await clock.sleep(api.takesMs)
        if (api.fail) throw new StokerError('KUBERNETES_UNREACHABLE', 'PATCH https://api')
        return state
      },
    },
  })
  const look = async (urgent = false) => {
    const looking = observer.observe(urgent)
    await clock.advance(1_000)
    return looking
  }
  return { api, look }
}

const memory = { usageBytes: 5, workingBytes: 4, limitBytes: 10, oomKills: 0 }

t.test('the cgroup is read each time, the API server every 10 s or when asked to', async t => {
  const { api, look } = setUp({ memory: () => memory })
  t.match(await look(), {
    pod: {
      state: { state: 'fresh', value: { uid: 'u' } },
      memory: { state: 'fresh', value: memory },
    },
    notes: [],
  })
  for (let i = 0; i < 8; i++) await look()
  t.equal(api.reads, 1)
  await look(true)
  t.equal(api.reads, 2)
})

t.test('an API server that fails makes the pod stale, in the end absent, and is said', async t => {
  const { api, look } = setUp({ memory: () => ({ why: 'not shared' }) })
  t.match((await look()).pod.memory, { state: 'absent', why: 'not shared' })
  api.fail = true
  const { pod, notes } = await look(true)
  t.match(pod.state, { state: 'stale', value: { uid: 'u' }, why: /https:\/\/api/ })
  t.match(notes, [{ code: 'KUBERNETES_UNREACHABLE' }])
  for (let i = 0; i < 601; i++) await look()
  t.match((await look()).pod.state, { state: 'absent' })
  api.fail = false
  t.match((await look(true)).notes, [])
})

t.test(
  'the loop does not wait for an API server that is slow, and takes its answer later',
  async t => {
    const { api, look } = setUp({ memory: () => memory })
    api.takesMs = 1_500
    t.match((await look()).pod.state, { state: 'absent', why: 'not asked yet' })
    await look(true)
    t.match((await look()).pod.state, { state: 'fresh' })
    t.equal(api.reads, 1, 'one question at a time')
  },
)

t.test('outside a pod there is nobody to ask', async t => {
  const observer = createPodObserver({
    kubernetes: undefined,
    cgroup: { memory: () => memory },
    clock: virtualClock(0),
  })
  t.match((await observer.observe(true)).pod, {
    state: { state: 'absent', why: /which pod/ },
    memory: { state: 'fresh' },
  })
})
