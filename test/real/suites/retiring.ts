/** Accidents while a worker is being retired from a real TorchServe: nobody is left stopped, nothing is lost by us. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { linuxProcesses, type Processes } from '../../../src/clients/processes.ts'
import type { Action, Outcome } from '../../../src/model.ts'
import { readDescriptions } from '../../../src/observe/describe.ts'
import { readyOf, workersOf } from '../agent.ts'
import { actuatorBeside } from '../downs.ts'
import { startTorchServe, type Options, type TorchServe } from '../torchserve.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(420_000)

const SERVICE_MS = 100

async function setUp(t: Test, models: Options['models'], wrap?: (real: Processes) => Processes) {
  const server = await startTorchServe({ models })
  t.teardown(() => server.stop())
  const { torchserve, actuator } = actuatorBeside(server, 'retire', wrap)
  t.teardown(() => torchserve.close())

  const shrink = async (name: string): Promise<void> => {
    const [description] = readDescriptions(await torchserve.describe(name), name)
    if (!description) throw new Error(`${name} is not listed`)
    const from = description.workers.length
    const action: Action = { kind: 'shrink', pool: description.id, key: name, from, to: from - 1 }
    actuator.start(action, { description, serviceMs: SERVICE_MS })
  }
  const settle = async (): Promise<Outcome[]> => {
    await actuator.settled()
    return actuator.outcomes()
  }
  return { server, torchserve, shrink, settle }
}

function model(name: string, workers: number) {
  const config = { minWorkers: workers, maxWorkers: workers, jobQueueSize: 1000 }
  return { name, behaviour: { serviceMs: SERVICE_MS, loadMs: 50 }, config }
}

function trafficTo(server: TorchServe, name: string, rps: number, seed: number) {
  const url = `${server.inferenceUrl.origin}/predictions/${name}`
  return startTraffic({ url, rps, seed, timeoutMs: 10_000 })
}

/** Calls `then` whenever a worker has just been stopped. */
const onStop = (then: () => void) => (real: Processes) => ({
  ...real,
  signal(pid: number, signal: 'SIGSTOP' | 'SIGCONT') {
    const done = real.signal(pid, signal)
    if (signal === 'SIGSTOP') then()
    return done
  },
})

async function noneStopped(server: TorchServe, name: string): Promise<boolean> {
  const { look } = linuxProcesses()
  return (await workersOf(server, name)).every(({ pid }) => look(pid) !== 'stopped')
}

t.test('two models give up workers at the same time, and nothing is lost', async t => {
  const { server, torchserve, shrink, settle } = await setUp(t, [model('a', 6), model('b', 6)])
  const traffic = { a: trafficTo(server, 'a', 25, 1), b: trafficTo(server, 'b', 25, 2) }
  let removed = 0
  for (let round = 0; round < 60 && removed < 30; round++) {
    await sleep(400)
    await Promise.all([shrink('a'), shrink('b')])
    const outcomes = await settle()
    removed += outcomes.filter(({ kind }) => kind === 'removed').length
    for (const name of ['a', 'b']) {
      await torchserve.scale({ model: name, version: '1.0' }, 6)
      t.ok(await until(async () => (await readyOf(server, name)) === 6, 30_000))
    }
  }
  t.ok(removed >= 30, `${removed} taken`)
  for (const name of ['a', 'b'] as const) {
    const verdict = judge(await traffic[name].stop(), server.log(name).executions)
    t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []], name)
  }
})

t.test('TorchServe restarts while a worker stands stopped', async t => {
  let restarts = 0
  let restarting: Promise<void> | undefined
  const { server, shrink, settle } = await setUp(
    t,
    [model('m', 3)],
    onStop(() => {
      if (!restarting) restarts++
      restarting ??= server.restart()
    }),
  )
  for (let round = 0; round < 3; round++) {
    restarting = undefined
    await shrink('m')
    t.notOk((await settle()).some(({ kind }) => kind === 'removed'))
    await Promise.resolve(restarting)
    t.ok(await until(async () => (await readyOf(server, 'm')) === 3, 30_000), 'all are back')
    t.ok(await noneStopped(server, 'm'))
  }
  t.equal(restarts, 3, 'it was restarted while one was stopped')
  await shrink('m')
  t.match(await settle(), [{ kind: 'removed', sureness: 'retired' }], 'and the next try works')
})

t.test('TorchServe freezes while a worker stands stopped', async t => {
  let freezes = 0
  const { server, shrink, settle } = await setUp(
    t,
    [model('m', 3)],
    onStop(() => {
      if (freezes++ === 0) server.freeze()
    }),
  )
  const pids = (await workersOf(server, 'm')).map(({ pid }) => pid)
  const traffic = trafficTo(server, 'm', 10, 3)
  await shrink('m')
  t.ok(await until(() => freezes > 0, 5_000), 'it was frozen while one was stopped')
  const { look } = linuxProcesses()
  const goesOn = () => pids.every(pid => look(pid) !== 'stopped')
  t.ok(await until(goesOn, 2_000), 'the worker goes on though TorchServe answers nothing')
  await sleep(1_000)
  server.thaw()
  await settle()
  server.thaw()
  t.ok(await until(async () => (await readyOf(server, 'm')) >= 2, 30_000))
  const verdict = judge(await traffic.stop(), server.log('m').executions)
  t.same([verdict.lost, verdict.hung], [[], []])
})

t.test('the victim dies by itself while it stands stopped', async t => {
  const { server, shrink, settle } = await setUp(t, [model('m', 3)], real => ({
    ...real,
    signal(pid, signal) {
      const done = real.signal(pid, signal)
      if (signal === 'SIGSTOP') process.kill(pid, 'SIGKILL')
      return done
    },
  }))
  await shrink('m')
  await settle()
  t.ok(await until(async () => (await readyOf(server, 'm')) >= 2, 30_000), 'the model serves')
  t.ok(await noneStopped(server, 'm'))
})

t.test('workers that are in no list serve too, and nothing is lost to them', async t => {
  const { server, torchserve, shrink, settle } = await setUp(t, [model('m', 3)])
  // min 0 with max > 0 forgets the workers and leaves them serving.
  const put = (query: string) =>
    fetch(new URL(`/models/m?${query}`, server.managementUrl), { method: 'PUT' })
  await put('min_worker=0&max_worker=3')
  await put('min_worker=4&max_worker=4')
  t.ok(await until(async () => (await readyOf(server, 'm')) === 4, 30_000))
  const listed = new Set((await workersOf(server, 'm')).map(({ pid }) => pid))
  const traffic = trafficTo(server, 'm', 40, 4)
  let removed = 0
  for (let round = 0; round < 40 && removed < 15; round++) {
    await sleep(300)
    await shrink('m')
    removed += (await settle()).filter(({ kind }) => kind === 'removed').length
    await torchserve.scale({ model: 'm', version: '1.0' }, 4)
    t.ok(await until(async () => (await readyOf(server, 'm')) === 4, 30_000))
    for (const { pid } of await workersOf(server, 'm')) listed.add(pid)
  }
  t.ok(removed > 0, `${removed} taken`)
  const { executions } = server.log('m')
  t.ok(
    executions.some(({ pid }) => !listed.has(pid)),
    'unlisted workers did serve',
  )
  const verdict = judge(await traffic.stop(), server.log('m').executions)
  t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []])
})
