/**
 * Debian's Prometheus over ten real agents, each beside an emulated TorchServe under load, all scraped by two jobs: through
 * a frozen agent, a killed one, one whose pod drains, a gap and a restart, the ScaledObject's query is right within two scrapes.
 */
import t, { type Test } from 'tap'
import { startTorchServe } from '../../../src/simulate/torchserve.ts'
import { startAgent, type Agent } from '../agent.ts'
import { startPrometheus, type Target } from '../prometheus/prometheus.ts'
import { queryOf } from '../prometheus/queries.ts'
import { until } from '../until.ts'

t.setTimeout(300_000)

const PODS = 10
/** Fixed, so that a pod is worth the same on a machine that is busy. */
const WORKERS = 2
const SCRAPE_MS = 2_000
/** Evaluations of the rules, one each scrape: two scrapes, the one that was under way, and the look after them. */
const SOON = 4
/** Prometheus takes what discovery finds every 5 s, and lets a target that has gone be for two scrapes more. */
const GONE = 5_000 / SCRAPE_MS + 2 + SOON
const LONGEST_MS = 60_000
const LONGEST_ANSWER_MS = 5_000
/** Loads move a little between the scrape and the look. */
const NEAR = 0.15

const query = queryOf('pods/prometheus.yaml', 'demand')

interface Pod extends Target {
  agent: Agent
  demand(): Promise<number | undefined>
}

/** From a small part of a pod’s worth of load to a whole one, at an even pace. */
async function startPod(index: number): Promise<Pod> {
  const emulation = await startTorchServe({
    models: [{ name: 'm', serviceMs: 200, workers: WORKERS }],
  })
  const ask = () =>
    fetch(`${emulation.inferenceUrl}/predictions/m`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(LONGEST_ANSWER_MS),
    })
      .then(reply => reply.text())
      .catch(() => undefined)
  t.teardown(() => emulation.close())
  const agent = await startAgent(
    {
      managementUrl: new URL(emulation.managementUrl),
      metricsUrl: new URL(emulation.metricsUrl),
      inferenceUrl: new URL(emulation.inferenceUrl),
    },
    { STOKER_MIN_WORKERS: `${WORKERS}`, STOKER_MAX_WORKERS: `${WORKERS}` },
  )
  t.teardown(() => agent.kill())
  const users = setInterval(() => void ask(), 1000 / (0.75 + 0.25 * index))
  t.teardown(() => clearInterval(users))
  return {
    agent,
    address: new URL(agent.url).host,
    namespace: 'models',
    pod: `torchserve-5d9c7b-${index}`,
    controller: 'torchserve-5d9c7b',
    async demand() {
      const told = /^stoker_pod_demand (\S+)$/m.exec(await agent.get('/metrics'))?.[1]
      return told === undefined ? undefined : Number(told)
    },
  }
}

// Each agent has a listener of its own that ends it with this process.
process.setMaxListeners(2 * PODS)
const pods: Pod[] = []
for (let index = 0; index < PODS; index++) pods.push(await startPod(index))
const prometheus = await startPrometheus(pods, SCRAPE_MS)
t.teardown(() => prometheus.stop())
const known = async () =>
  (await Promise.all(pods.map(pod => pod.demand()))).every(each => each !== undefined)
if (!(await until(known, LONGEST_MS, 500))) throw new Error('The agents do not know their load')

async function demandOf(asked: readonly Pod[]): Promise<number> {
  const told = await Promise.all(asked.map(pod => pod.demand()))
  return told.reduce<number>((sum, demand) => sum + (demand ?? NaN), 0)
}

/** Holds within so many evaluations, which are late on a machine that is busy. */
async function comesToBe(t: Test, wanted: () => Promise<number>, evaluations = SOON) {
  const seen = new Set<number | undefined>()
  let value: number | undefined
  let expected = NaN
  const isNear = () => value !== undefined && Math.abs(value - expected) <= NEAR
  const isDecided = async () => {
    seen.add(await prometheus.value('max(timestamp(workload:stoker_pods:count))'))
    ;[value, expected] = await Promise.all([prometheus.value(query), wanted()])
    return isNear() || seen.size > evaluations + 1
  }
  await until(isDecided, LONGEST_MS, 200)
  t.ok(isNear(), `${value?.toFixed(2)} pods, of ${expected.toFixed(2)}`)
}

t.test('every pod once', async t => {
  await comesToBe(t, () => demandOf(pods), Infinity)
  t.equal(await prometheus.value('count(up{endpoint="stoker-metrics"})'), 2 * PODS, 'scraped twice')
  t.equal(await prometheus.value('sum(workload:stoker_pods:count)'), PODS)
})

t.test('a frozen agent’s pod counts as full until it answers again', async t => {
  const [frozen, ...others] = pods
  process.kill(frozen?.agent.pid ?? 0, 'SIGSTOP')
  await comesToBe(t, async () => (await demandOf(others)) + 1)
  process.kill(frozen?.agent.pid ?? 0, 'SIGCONT')
  await comesToBe(t, () => demandOf(pods))
})

t.test(
  'a killed agent’s pod counts as full while it is there, and not at all when it is gone',
  async t => {
    const killed = pods.splice(1, 1)
    await killed[0]?.agent.kill()
    await comesToBe(t, async () => (await demandOf(pods)) + 1)
    prometheus.discover(pods)
    await comesToBe(t, () => demandOf(pods), GONE)
  },
)

t.test('a pod that drains is out, and stays out when it falls silent', async t => {
  const [leaving] = pods.splice(-1)
  const { agent } = leaving as Pod
  const drained = fetch(`${agent.url}/drain`, {
    method: 'POST',
    headers: { 'stoker-drain': '1' },
  }).catch(() => undefined)
  await comesToBe(t, () => demandOf(pods))
  t.match(await agent.get('/metrics'), /^stoker_draining 1$/m)
  await agent.kill()
  await drained
  t.ok(await until(async () => (await prometheus.value('count(up == 0)')) === 2, LONGEST_MS))
  await comesToBe(t, () => demandOf(pods))
  prometheus.discover(pods)
})

t.test('where no agent answers the size stays', async t => {
  for (const { agent } of pods) process.kill(agent.pid, 'SIGSTOP')
  await comesToBe(t, () => Promise.resolve(pods.length))
  for (const { agent } of pods) process.kill(agent.pid, 'SIGCONT')
  await comesToBe(t, () => demandOf(pods))
})

t.test('a Prometheus that starts anew says nothing before it has seen every pod', async t => {
  await prometheus.restart()
  let value: number | undefined
  const hasSpoken = async () => (value = await prometheus.value(query)) !== undefined
  t.notOk(await hasSpoken())
  t.ok(await until(hasSpoken, LONGEST_MS, 50))
  const told = await demandOf(pods)
  t.ok(Math.abs((value ?? 0) - told) <= NEAR, `its first number is ${value} of ${told}`)
})

// Node 24 spins for ever where it closes what is open at its own end (CleanupHandles), after this many connections that were reset.
process.once('beforeExit', () => process.exit())
