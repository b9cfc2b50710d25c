import t from 'tap'
import { run, type Ports } from '../src/agent.ts'
import type { Action, CostOutcome, Description, Observation, PoolSeen } from '../src/model.ts'
import { virtualClock } from '../src/simulate/clock.ts'
import { leftAlone, noGpu, noPod, policy } from './decide/world.ts'

const description: Description = {
  id: { model: 'm', version: '1.0' },
  isDefault: true,
  minWorkers: 1,
  maxWorkers: 1,
  batchSize: 1,
  maxBatchDelayMs: 100,
  responseTimeoutMs: 120_000,
  startupTimeoutMs: 120_000,
  maxRetryMs: 300_000,
  workers: [
    {
      id: '9000',
      pid: 7,
      ready: true,
      alive: true,
      gpu: false,
      use: undefined,
      memoryBytes: undefined,
    },
  ],
  pending: 0,
  queueFree: 100,
  refusal: undefined,
}

function setUp(observed: (nowMs: number) => PoolSeen[]) {
  const clock = virtualClock(1_000_000)
  const started: Action[] = []
  const adopted: string[] = []
  const recorded: Parameters<Ports['record']>[0][] = []
  const urgent: string[][] = []
  const ports: Ports = {
    clock,
    policies: {
      pool: () => ({ ...policy, minWorkers: 2 }),
      memory: leftAlone,
      deletionCost: false,
      acts: true,
    },
    observe(what): Promise<Omit<Observation, 'outcomes' | 'resized'>> {
      urgent.push([...what.torchserve])
      const atMs = clock.now()
      const torchserve = { state: 'fresh', value: { url: 'http://t' }, atMs } as const
      const pools = observed(atMs)
      return Promise.resolve({ atMs, torchserve, pools, pod: noPod, ...noGpu, notes: [] })
    },
    actuate: {
      start: action => void started.push(action),
      outcomes: () => [],
      adopt: key => void adopted.push(key),
    },
    resize: undefined,
    record: tick => void recorded.push(tick),
  }
  return { clock, ports, started, adopted, recorded, urgent }
}

const counters = { state: 'absent', why: 'not asked' } as const

t.test(
  'each tick observes, decides, acts and records, and one that fails ends nothing',
  async t => {
    let fail = false
    const world = setUp(atMs => {
      if (fail) throw new Error('a bug')
      return [{ key: 'm', description: { state: 'fresh', value: description, atMs }, counters }]
    })
    const stop = new AbortController()
    const errors: unknown[] = []
    const running = run(world.ports, 1_000, stop.signal, error => errors.push(error))
    await world.clock.advance(500)
    t.match(world.started, [{ kind: 'grow', from: 1, to: 2 }])
    t.match(world.recorded, [{ decisions: [{ reason: 'below_minimum' }] }])
    t.same(world.adopted, ['m'], 'workers that were left stopped are looked after')
    fail = true
    await world.clock.advance(3_000)
    t.equal(errors.length, 3)
    fail = false
    await world.clock.advance(2_000)
    t.equal(world.recorded.length, 3)
    t.equal(world.started.length, 1, 'one change in flight')
    t.same(world.urgent.slice(0, 2), [[], ['m']], 'while it is, TorchServe is asked each time')
    stop.abort()
    await running
  },
)

t.test(
  'the deletion cost is written, and what becomes of it is known to the next tick',
  async t => {
    const none = { requests: 0, latencyUs: 0, queueUs: 0, predictionMs: undefined }
    const world = setUp(atMs => [
      {
        key: 'm',
        description: { state: 'fresh', value: description, atMs },
        counters: { state: 'fresh', value: none, atMs },
      },
    ])
    const sent: number[] = []
    let outcome: CostOutcome | undefined
    const ports: Ports = {
      ...world.ports,
      policies: { ...world.ports.policies, deletionCost: true },
      deletionCost: {
        start(cost) {
          sent.push(cost)
          outcome = { cost, atMs: world.clock.now(), kind: 'written' }
        },
        outcome: () => outcome,
      },
    }
    const stop = new AbortController()
    const running = run(ports, 1_000, stop.signal, () => t.fail('a tick failed'))
    await world.clock.advance(2_500)
    t.strictSame(sent, [0])
    t.match(world.recorded.at(-1), { deletionCost: { cost: 0, written: 0, write: false } })
    stop.abort()
    await running
  },
)

t.test('an old description changes nothing before TorchServe was asked again', async t => {
  const world = setUp(atMs => [
    { key: 'm', description: { state: 'fresh', value: description, atMs: atMs - 9_000 }, counters },
  ])
  const stop = new AbortController()
  const running = run(world.ports, 1_000, stop.signal, () => t.fail('a tick failed'))
  await world.clock.advance(2_500)
  t.same(world.started, [])
  t.match(world.recorded.at(-1), {
    decisions: [{ reason: 'stale', because: /Asking TorchServe again/ }],
  })
  t.same(world.urgent.at(-1), ['m'])
  stop.abort()
  await running
})
