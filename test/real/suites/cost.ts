/** What a worker costs in memory, as the agent learns it, against what the kernel says of the worker's process. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { startAgent, workersOf, type Agent } from '../agent.ts'
import { call } from '../http.ts'
import { startTorchServe } from '../torchserve.ts'
import { until } from '../until.ts'

t.setTimeout(120_000)

const MIB = 2 ** 20
const MORE_MIB = 300
const NEAR = 0.15

t.test(`a worker that needs ${MORE_MIB} MiB more from its first request on`, async t => {
  const server = await startTorchServe({
    models: [
      { name: 'light', behaviour: { serviceMs: 10 } },
      { name: 'heavy', behaviour: { serviceMs: 10, allocMiB: MORE_MIB } },
    ],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server)
  t.teardown(() => agent.stop())
  t.ok(
    await until(async () => (await learned(agent, 'heavy')) > 0, 10_000, 100),
    'something is learned at once',
  )
  const ready = await learned(agent, 'heavy')
  t.ok(ready < MORE_MIB, `READY, it holds no more than others: ${ready.toFixed()} MiB`)

  for (const model of ['light', 'heavy']) {
    const url = new URL(`/predictions/${model}`, server.inferenceUrl)
    t.equal((await call(url, { method: 'POST', body: 'r1' })).status, 200)
  }
  t.ok(
    await until(async () => (await learned(agent, 'heavy')) > MORE_MIB, 10_000, 100),
    'and more after a request',
  )
  for (const model of ['light', 'heavy']) {
    const [worker] = await workersOf(server, model)
    const held = proportionalMib(worker?.pid ?? 0)
    const cost = await learned(agent, model)
    // Of a small worker files are a large part, and how many others share these is up to the machine.
    for (const truth of model === 'heavy' ? [held.own, held.all] : [held.own]) {
      const text = `${model}: ${cost.toFixed()} MiB learned, ${truth.toFixed()} MiB held`
      t.ok(Math.abs(cost - truth) <= NEAR * truth, text)
    }
  }
  const more = (await learned(agent, 'heavy')) - (await learned(agent, 'light'))
  t.ok(Math.abs(more - MORE_MIB) <= NEAR * MORE_MIB, `${more.toFixed()} MiB more were learned`)
})

/** MiB of one worker; 0 while the agent does not know. */
async function learned(agent: Agent, model: string): Promise<number> {
  const { pools } = JSON.parse(await agent.get('/state')) as {
    pools: { model: string; inputs: { workerBytes: number | null } }[]
  }
  return (pools.find(pool => pool.model === model)?.inputs.workerBytes ?? 0) / MIB
}

/** A process's memory, with its part of what it shares with others, in MiB; `own`: without files. */
function proportionalMib(pid: number) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1])
  return { own: (kib('Pss_Anon') + kib('Pss_Shmem')) / 1024, all: kib('Pss') / 1024 }
}
