/** The agent is killed again and again, each time between the request for memory and the order for a worker, on a real node. */
import t from 'tap'
import { pathOf } from '../cluster/pods.ts'
import type { Body } from '../cluster/client.ts'
import { NS, startMemoryNode, startServing } from '../memory-pod.ts'
import { comesDown, neverWithoutMemory, record } from '../memory-record.ts'
import { startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(1_100_000)

const KILLS = 10
const LOW_RPS = 3
const HIGH_RPS = 25

const node = await startMemoryNode()
t.teardown(() => node.stop())

await t.test(
  `${KILLS} kills between patch and PUT: what was asked for is used, or given back`,
  async t => {
    const serving = await startServing(node, 'ts', { serviceMs: 100, allocMiB: 150 })
    const recorder = record(t, node, serving)
    const traffic = startTraffic({ url: serving.url, rps: LOW_RPS, seed: 1, timeoutMs: 20_000 })
    for (let kill = 1; kill <= KILLS; kill++) {
      await recorder.sees(() => false, 8_000)
      t.ok(await comesDown(recorder, 120_000), `${kill}: what was asked for before is given back`)
      const { request } = recorder.last()
      const pid = await agentPid()
      traffic.setRate(HIGH_RPS)
      const raised = async () => requestOf(await node.admin.ok('GET', pathOf(NS, 'ts'))) > request
      t.ok(await until(raised, 60_000, 5), `${kill}: more is asked for than ${request} MiB`)
      // One more may have fitted into what there was.
      const { workers } = recorder.last()
      process.kill(pid, 'SIGKILL')
      traffic.setRate(LOW_RPS)
      await recorder.sees(() => false, 1_000)
      t.ok(recorder.last().workers <= workers, `${kill}: killed before the worker was ordered`)
      const isAnother = async () => ![0, pid].includes(await agentPid())
      t.ok(await until(isAnother, 60_000, 100), `${kill}: it starts anew`)
    }
    traffic.setRate(HIGH_RPS)
    t.ok(await recorder.sees(({ workers }) => workers >= 4, 60_000), 'the last one grows')
    traffic.setRate(LOW_RPS)
    t.ok(await comesDown(recorder, 120_000), 'and comes down')
    await traffic.stop()
    await recorder.stop()
    neverWithoutMemory(t, recorder.samples)
    t.equal(recorder.last().restarts, 0, 'TorchServe has not restarted')
  },
)

/** 0 while it does not run. */
async function agentPid(): Promise<number> {
  const place = { namespace: NS, pod: 'ts', container: 'stoker-agent' }
  const memory = await node.memory(place).catch(() => undefined)
  return memory?.processes[0]?.pid ?? 0
}

function requestOf(pod: Body): number {
  const { containers } = pod['spec'] as {
    containers: { resources: { requests: { memory: string } } }[]
  }
  return Number.parseInt(containers[0]?.resources.requests.memory ?? '')
}
