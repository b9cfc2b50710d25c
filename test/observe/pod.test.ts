import t from 'tap'
import { KubernetesError } from '../../src/clients/kubernetes.ts'
import { StokerError } from '../../src/errors.ts'
import { createPodObserver } from '../../src/observe/pod.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { Container } from '../decide/container.ts'

function setUp(cgroup: Parameters<typeof createPodObserver>[0]['cgroup']) {
  const clock = virtualClock(1_000_000)
  const api = { reads: 0, fails: undefined as Error | undefined, takesMs: 0 }
  const { state } = new Container()
  const observer = createPodObserver({
    cgroup,
    clock,
    kubernetes: {
      async read() {
        api.reads++
        await clock.sleep(api.takesMs)
        if (api.fails) throw api.fails
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

/** What the API server answers that has too much to do. */
const busy = (retryAfterMs: number) =>
  new KubernetesError('KUBERNETES_BUSY', {
    status: 429,
    asked: 'PATCH https://api',
    body: '',
    contentType: '',
    retryAfterMs,
  })

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

t.test('an API server that fails makes the pod stale, however long, and is said', async t => {
  const { api, look } = setUp({ memory: () => ({ why: 'not shared' }) })
  t.match((await look()).pod.memory, { state: 'absent', why: 'not shared' })
  api.fails = new StokerError('KUBERNETES_UNREACHABLE', 'PATCH https://api')
  const { pod, notes } = await look(true)
  t.match(pod.state, { state: 'stale', value: { uid: 'u' }, why: /https:\/\/api/ })
  t.match(notes, [{ code: 'KUBERNETES_UNREACHABLE' }])
  for (let i = 0; i < 601; i++) await look()
  t.match((await look()).pod.state, { state: 'stale', value: { uid: 'u' }, atMs: 1_000_000 })
  api.fails = undefined
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

t.test('an API server that says when to come back is not asked before', async t => {
  for (const urgent of [true, false]) {
    const { api, look } = setUp({ memory: () => memory })
    await look()
    api.fails = busy(30_000)
    await look(true)
    for (let second = 1; second < 30; second++) await look(urgent)
    t.equal(api.reads, 2)
    api.fails = undefined
    t.match((await look(urgent)).pod.state, { state: 'fresh' })
    t.equal(api.reads, 3)
  }
})

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
