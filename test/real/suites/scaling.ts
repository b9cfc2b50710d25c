/** The agent follows the load of a real TorchServe: up within two seconds, down one at a time after the hold. */
import t from 'tap'
import { readyOf, startAgent, waitingOf } from '../agent.ts'
import { startTorchServe } from '../torchserve.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(300_000)

t.test('a step from 10 to 60 requests/s of 100 ms, 2 s load time', async t => {
  const server = await startTorchServe({
    models: [
      { name: 'm', behaviour: { serviceMs: 100, loadMs: 2_000 }, config: { jobQueueSize: 1000 } },
    ],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, { STOKER_MAX_WORKERS: '12' })
  t.teardown(() => agent.stop())
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/m`,
    rps: 10,
    seed: 1,
    timeoutMs: 30_000,
  })
  const steady = async () => (await agent.decisions('m')).at(-1)?.reason === 'steady'
  t.ok(await until(async () => (await readyOf(server, 'm')) >= 3 && (await steady()), 60_000))

  const steppedMs = Date.now()
  traffic.setRate(60)
  const grown = async () =>
    (await agent.decisions('m')).find(
      each => each.action?.kind === 'grow' && each.atMs >= steppedMs,
    )
  t.ok(await until(async () => (await grown()) !== undefined, 10_000))
  const reactionMs = ((await grown())?.atMs ?? Infinity) - steppedMs
  t.comment(`first PUT ${Math.round(reactionMs)} ms after the step`)
  t.ok(reactionMs <= 2_000, `a PUT within 2 s: ${Math.round(reactionMs)} ms`)
  t.ok(await until(async () => (await readyOf(server, 'm')) >= 8, 40_000), 'the workers come')
  t.ok(await until(async () => (await waitingOf(server, 'm')) === 0, 30_000), 'the queue drains')

  const most = await readyOf(server, 'm')
  traffic.setRate(10)
  t.ok(
    await until(async () => (await readyOf(server, 'm')) <= 4, 150_000),
    'workers go after the hold',
  )
  const downs = (await agent.decisions('m')).filter(each => each.action?.kind === 'shrink')
  t.ok(downs.length >= most - 4)
  t.ok(
    downs.every(({ action }) => action && action.to === action.from - 1),
    'one at a time',
  )
  const sure = downs.flatMap(each => each.outcomes).filter(each => each.kind === 'removed')
  t.ok(
    sure.every(({ sureness }) => sureness === 'retired'),
    'each proven to hold nobody’s request',
  )

  const report = await traffic.stop()
  const verdict = judge(report, server.log('m').executions)
  t.comment(JSON.stringify({ ...verdict, lost: verdict.lost.length, hung: verdict.hung.length }))
  t.same(verdict.lost, [], 'no request was lost')
  t.same(verdict.hung, [])
  t.same(verdict.repeated, [], 'none was executed twice')
})

t.test('an idle model goes to zero where allowed, and wakes', async t => {
  const server = await startTorchServe({
    models: [
      { name: 'busy', behaviour: { serviceMs: 50, loadMs: 200 } },
      {
        name: 'idle',
        behaviour: { serviceMs: 50, loadMs: 200 },
        config: { minWorkers: 2, maxWorkers: 2 },
      },
    ],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, {
    STOKER_HOLD_MS: '5000',
    STOKER_MODELS: JSON.stringify({ idle: { minWorkers: 0 } }),
  })
  t.teardown(() => agent.stop())
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/busy`,
    rps: 20,
    seed: 2,
  })
  t.ok(
    await until(async () => (await readyOf(server, 'idle')) === 0, 60_000),
    'the idle one goes to zero',
  )
  t.ok((await readyOf(server, 'busy')) >= 1)
  const ask = () =>
    fetch(new URL('/predictions/idle', server.inferenceUrl), { method: 'POST', body: 'x' })
  t.equal((await ask()).status, 503, 'the waking request is refused, as documented')
  t.ok(
    await until(async () => (await readyOf(server, 'idle')) === 1, 10_000),
    'and wakes the model',
  )
  t.equal((await ask()).status, 200)
  const verdict = judge(await traffic.stop(), server.log('busy').executions)
  t.same(verdict.lost, [], 'the busy one lost nothing meanwhile')
})

t.test('a handler that holds a lock: settles at the knee and stays', async t => {
  const server = await startTorchServe({
    models: [{ name: 'm', behaviour: { serviceMs: 50, lock: true, loadMs: 200 } }],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server)
  t.teardown(() => agent.stop())
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/m`,
    rps: 24,
    seed: 3,
    timeoutMs: 30_000,
  })
  const knee = async () => (await agent.decisions('m')).some(each => each.inputs.knee !== null)
  t.ok(await until(knee, 60_000), 'the knee is found')
  const settled = (await agent.decisions('m')).filter(each => each.action?.kind === 'grow').length
  await new Promise(resolve => setTimeout(resolve, 20_000))
  const decisions = await agent.decisions('m')
  t.equal(
    decisions.filter(each => each.action?.kind === 'grow').length,
    settled,
    'it grows no more',
  )
  t.ok((await readyOf(server, 'm')) <= 3, 'at or just above the knee')
  t.comment(decisions.map(each => `${each.reason}: ${each.because}`).join('\n'))
  await traffic.stop()
})

t.test(
  'on GPUs TorchServe is described rarely: each time it asks nvidia-smi once per worker',
  async t => {
    const server = await startTorchServe({
      gpus: 2,
      models: [{ name: 'm', behaviour: { loadMs: 100 }, config: { minWorkers: 3, maxWorkers: 3 } }],
    })
    t.teardown(() => server.stop())
    const agent = await startAgent(server, {
      STOKER_MIN_WORKERS: '3',
      // Nobody tells of the memory of GPUs that are not there.
      STOKER_GPU_MEMORY_UNKNOWN: 'grow',
    })
    t.teardown(() => agent.stop())
    t.ok(await until(async () => (await agent.decisions('m')).length > 0, 10_000))
    // The agent's first looks find out that the workers are on GPUs.
    await new Promise(resolve => setTimeout(resolve, 3_000))
    const before = server.gpuQueries()
    t.ok(before >= 3, 'TorchServe asks for each worker')
    const seconds = 22
    await new Promise(resolve => setTimeout(resolve, seconds * 1_000))
    const describes = (server.gpuQueries() - before) / 3
    t.comment(`${describes} describes in ${seconds} s at rest`)
    t.ok(describes >= 1 && describes <= 3, 'one in ten seconds')

    const traffic = startTraffic({
      url: `${server.inferenceUrl.origin}/predictions/m`,
      rps: 60,
      seed: 9,
      timeoutMs: 30_000,
    })
    // A machine whose CPUs are all busy gets no more workers for an idle GPU, and says so.
    const seen = async () =>
      (await agent.decisions('m')).some(
        ({ action, reason }) => action?.kind === 'grow' || reason === 'cpu_full',
      )
    t.ok(await until(seen, 30_000), 'and pressure is seen all the same')
    await traffic.stop()
  },
)
