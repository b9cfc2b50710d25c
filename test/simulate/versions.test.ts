/** Goal: the load of versions that share TorchServe's one gauge is told as it is, also where their queues are full. Method: arrivals at random on the emulation. */
import t from 'tap'
import { mostArrivals } from '../../src/decide/erlang.ts'
import { jittered } from '../../src/simulate/torchserve/options.ts'
import { Agent } from './agent.ts'

interface Version {
  serviceMs: number
  /** Requests per second. */
  rate: number
}

/** Two versions of a model, each with at most two workers and soon with a full queue. */
function overloaded(versions: readonly Version[], metricsMode?: 'legacy'): Agent {
  const models = versions.map(({ serviceMs }, index) => ({
    name: 'm',
    version: String(index + 1),
    serviceMs: jittered(serviceMs, 0.5),
    queueSize: 20,
  }))
  const mode = metricsMode && { metricsMode }
  const agent = new Agent({ models, ...mode }, { maxWorkers: 2 })
  for (const [index, { rate }] of versions.entries())
    agent.rates.set({ model: 'm', version: String(index + 1) }, rate)
  return agent
}

/** The load in pods whose two workers are all that they can have. */
function pods({ serviceMs, rate }: Version): number {
  const load = { arrivalsPerSecond: rate, serviceMs, batchSize: 1, maxBatchDelayMs: 100 }
  return rate / mostArrivals(2, load, 1.5 * serviceMs, 0.02)
}

const cases: readonly Version[][] = [
  [
    { serviceMs: 100, rate: 60 },
    { serviceMs: 100, rate: 60 },
  ],
  [
    { serviceMs: 100, rate: 60 },
    { serviceMs: 300, rate: 20 },
  ],
  [
    { serviceMs: 50, rate: 60 },
    { serviceMs: 500, rate: 20 },
  ],
  [
    { serviceMs: 100, rate: 60 },
    { serviceMs: 300, rate: 1 },
  ],
]

t.test(
  'with full queues from the start no less than half of the load is told, and no more than twice',
  async t => {
    for (const versions of cases) {
      const agent = overloaded(versions)
      const truth = Math.max(...versions.map(pods))
      const name = versions.map(({ serviceMs, rate }) => `${rate}/s of ${serviceMs} ms`).join(', ')
      // For a minute it tells less: before the first request none arrived.
      await agent.run(60)
      for (let i = 0; i < 6; i++) {
        if (i === 3) {
          agent.restart()
          await agent.run(10)
        }
        const { podDemand = NaN } = await agent.run(10)
        t.ok(podDemand > 0.5 * truth && podDemand < 2 * truth, `${name}: ${podDemand}, ${truth}`)
      }
      t.equal(agent.core.workersReady('m'), 2, 'and the workers came')
    }
  },
)

t.test('what was known before the queues were full is kept while it is reported', async t => {
  const [even, uneven] = [
    { serviceMs: 100, rate: 60 },
    { serviceMs: 300, rate: 100 },
  ]
  const agent = overloaded([
    { ...even, rate: 5 },
    { ...uneven, rate: 2 },
  ])
  await agent.run(60)
  for (const [target, rate] of agent.rates)
    agent.rates.set(target, rate === 5 ? even.rate : uneven.rate)
  await agent.run(180)
  for (const [key, version] of [
    ['m:1', even],
    ['m:2', uneven],
  ] as const) {
    const told = agent.last(key).inputs.podDemand ?? NaN
    t.ok(Math.abs(told - pods(version)) < 0.3 * pods(version), `${key}: ${told}, ${pods(version)}`)
  }
})

t.test('without a gauge the counters still tell that it is more than one pod’s', async t => {
  const agent = overloaded([{ serviceMs: 100, rate: 60 }], 'legacy')
  await agent.run(90)
  t.ok((agent.podDemand ?? 0) > 2, String(agent.podDemand))
  t.equal(agent.core.workersReady('m'), 2)
})
