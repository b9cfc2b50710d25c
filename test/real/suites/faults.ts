/** What can go wrong with a real TorchServe, and what the agent does about it. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readyOf, startAgent, workersOf } from '../agent.ts'
import { startTorchServe } from '../torchserve.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(600_000)

const ping = async (url: URL) =>
  (await fetch(new URL('/ping', url), { signal: AbortSignal.timeout(5_000) })).status

for (const failMode of ['plain', 'cuda', 'mem', 'exit', 'kill', 'hang'] as const) {
  t.test(
    `a new worker that cannot load (${failMode}) is rolled back before /ping turns red`,
    async t => {
      const server = await startTorchServe({
        models: [
          {
            name: 'm',
            behaviour: { serviceMs: 100, loadMs: 300, failFrom: 2, failMode },
            config: { maxRetryTimeoutInSec: 15, startupTimeout: 20 },
          },
        ],
      })
      t.teardown(() => server.stop())
      const agent = await startAgent(server)
      t.teardown(() => agent.stop())
      const traffic = startTraffic({
        url: `${server.inferenceUrl.origin}/predictions/m`,
        rps: 9,
        seed: 1,
        timeoutMs: 30_000,
      })
      const rolledBack = async () =>
        (await agent.decisions('m')).find(each => each.reason === 'load_failed')
      t.ok(await until(async () => (await rolledBack()) !== undefined, 30_000), 'rolled back')
      const grown = (await agent.decisions('m')).find(each => each.action?.kind === 'grow')
      const tookMs = ((await rolledBack())?.atMs ?? Infinity) - (grown?.atMs ?? 0)
      t.comment(`rolled back ${Math.round(tookMs)} ms after the growth`)
      t.ok(tookMs < (failMode === 'hang' ? 20_000 : 15_000), 'before TorchServe’s own limits')
      t.ok(
        await until(async () => (await workersOf(server, 'm')).length === 1, 5_000),
        'the old number is back',
      )
      t.equal(await ping(server.inferenceUrl), 200, '/ping is green')
      t.ok(
        await until(async () => (await agent.decisions('m')).at(-1)?.inputs.ceiling === 1, 5_000),
        'the ceiling is remembered',
      )
      const verdict = judge(await traffic.stop(), server.log('m').executions)
      // A load that reports out of memory may answer one waiting request with 507 by itself: TorchServe's doing, not ours.
      const itsOwn = failMode === 'cuda' || failMode === 'mem' ? 1 : 0
      const noticed = verdict.lost.filter(each => each.outcome !== 503)
      t.ok(
        noticed.length <= itsOwn && noticed.every(each => each.outcome === 507),
        `${noticed.length} noticed`,
      )
    },
  )
}

/** Worker processes that TorchServe has, whether it lists them or not. */
function workersBelow(pid: number): number {
  return readdirSync('/proc').filter(name => {
    try {
      const parent = /\) \S (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1]
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
      return Number(parent) === pid && command.includes('model_service_worker')
    } catch {
      return false
    }
  }).length
}

t.test('a load that fails only once leaves no worker behind that nobody lists', async t => {
  const behaviour = { loadMs: 4_000, failAfterMs: 4_000, failFrom: 2, failMode: 'exit' } as const
  const server = await startTorchServe({ models: [{ name: 'm', behaviour }] })
  t.teardown(() => server.stop())
  const agent = await startAgent(server)
  t.teardown(() => agent.stop())
  const url = `${server.inferenceUrl.origin}/predictions/m`
  const traffic = startTraffic({ url, rps: 9, seed: 1, timeoutMs: 30_000 })
  const { pid } = server
  const failed = async () =>
    (await workersOf(server, 'm')).length === 2 && workersBelow(pid()) === 1
  t.ok(await until(async () => (await agent.decisions('m')).some(each => each.action), 30_000))
  t.ok(await until(async () => workersBelow(pid()) === 2, 10_000), 'it loads')
  t.ok(await until(failed, 10_000), 'its process ends')
  server.behave('m', { failFrom: null })
  const isBack = async () => (await workersOf(server, 'm')).length === 1
  t.ok(await until(isBack, 10_000), 'the old number is back')
  t.notOk(await until(() => workersBelow(pid()) > 1, 8_000), 'and no other process')
  await traffic.stop()
})

t.test('a worker killed by hand comes back by itself, and the agent leaves it alone', async t => {
  const server = await startTorchServe({
    models: [{ name: 'm', behaviour: { loadMs: 100 }, config: { minWorkers: 2, maxWorkers: 2 } }],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, { STOKER_HOLD_MS: '600000' })
  t.teardown(() => agent.stop())
  t.ok(await until(async () => (await agent.decisions('m')).length > 0, 10_000))
  const [first] = await workersOf(server, 'm')
  process.kill(first?.pid ?? 0, 'SIGKILL')
  t.ok(await until(async () => (await readyOf(server, 'm')) === 1, 10_000), 'it is seen to be gone')
  t.ok(
    await until(async () => (await readyOf(server, 'm')) === 2, 20_000),
    'TorchServe restarts it',
  )
  const acted = (await agent.decisions('m')).filter(each => each.action)
  t.same(acted, [])
})

t.test('a model whose only worker is dead is repaired, and it is said', async t => {
  const server = await startTorchServe({
    models: [{ name: 'm', behaviour: { loadMs: 100 }, config: { maxRetryTimeoutInSec: 3 } }],
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server)
  t.teardown(() => agent.stop())
  const [only] = await workersOf(server, 'm')
  server.behave('m', { failFrom: 1 })
  process.kill(only?.pid ?? 0, 'SIGKILL')
  const red = async () => (await ping(server.inferenceUrl)) === 500
  t.ok(await until(red, 30_000), 'TorchServe gives up and calls itself unhealthy')
  // It tries once more after that.
  await new Promise(resolve => setTimeout(resolve, 6_000))
  server.behave('m', { failFrom: null })
  t.ok(
    await until(async () => (await readyOf(server, 'm')) === 1, 60_000),
    'the agent brings the model back',
  )
  t.equal(await ping(server.inferenceUrl), 200)
  const repaired = (await agent.decisions('m')).find(each => each.action?.kind === 'repair')
  t.match(repaired?.because, /dead and TorchServe no longer tries/)
  t.ok(agent.log().some(line => line['code'] === 'TORCHSERVE_UNHEALTHY'))
})

t.test('a TorchServe that freezes, restarts, or is absent at first', async t => {
  const server = await startTorchServe({ models: [{ name: 'm', behaviour: { loadMs: 100 } }] })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, { STOKER_HOLD_MS: '5000', STOKER_TIMEOUT_MS: '500' })
  t.teardown(() => agent.stop())
  const notes = () => agent.log().map(line => line['code'])
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/m`,
    rps: 20,
    seed: 2,
    timeoutMs: 60_000,
  })
  t.ok(await until(async () => (await readyOf(server, 'm')) >= 3, 40_000))
  const before = await workersOf(server, 'm')

  server.freeze()
  t.ok(await until(() => notes().includes('TORCHSERVE_TIMEOUT'), 10_000), 'the freeze is noticed')
  await new Promise(resolve => setTimeout(resolve, 30_000))
  t.match(await agent.get('/healthz'), /ok/, 'the loop goes on')
  server.thaw()
  t.ok(
    await until(async () => (await agent.decisions('m')).at(-1)?.reason !== 'stale', 15_000),
    'and it picks up again',
  )
  t.ok((await workersOf(server, 'm')).length >= before.length, 'nobody was taken for the silence')

  await server.restart()
  const isBack = await until(async () => (await readyOf(server, 'm')) >= 3, 90_000)
  const said = (await agent.decisions('m')).slice(-20).map(({ because }) => because)
  t.ok(isBack, 'after a restart the workers come back', { said })
  t.ok((await agent.decisions('m')).every(each => (each.inputs.arrivalsPerSecond ?? 0) >= 0))
  await traffic.stop()
})

t.test('tokens that expire after 12 seconds are renewed', async t => {
  const server = await startTorchServe({
    models: [{ name: 'm', behaviour: { loadMs: 100 } }],
    auth: true,
    config: { token_expiration_min: 0.2 },
  })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, { STOKER_KEY_FILE: server.keyFile })
  t.teardown(() => agent.stop())
  await new Promise(resolve => setTimeout(resolve, 30_000))
  const last = (await agent.decisions('m')).at(-1)
  t.ok(Date.now() - (last?.lastMs ?? 0) < 3_000, 'it still sees the model')
  t.notOk(
    agent.log().some(line => line['code'] === 'TORCHSERVE_UNAUTHORIZED'),
    'and was never refused',
  )
})

t.test('what is set up wrongly is said once, with the remedy, and the agent goes on', async t => {
  const auth = await startTorchServe({ models: [{ name: 'm' }], auth: true })
  t.teardown(() => auth.stop())
  const tls = await startTorchServe({ models: [{ name: 'm' }], tls: true })
  t.teardown(() => tls.stop())
  const plain = (url: URL) => new URL(`http://${url.host}`)
  const cases = {
    'no token': [auth, {}, 'TORCHSERVE_UNAUTHORIZED', /STOKER_KEY_FILE/],
    'the wrong port': [
      { ...auth, managementUrl: auth.metricsUrl },
      {},
      'TORCHSERVE_NOT_TORCHSERVE',
      /8081/,
    ],
    'HTTP where TLS is expected': [
      {
        ...tls,
        managementUrl: plain(tls.managementUrl),
        metricsUrl: plain(tls.metricsUrl),
        inferenceUrl: plain(tls.inferenceUrl),
      },
      {},
      'TORCHSERVE_TLS',
      /https:/,
    ],
    'nothing there': [
      { ...auth, managementUrl: new URL('http://127.0.0.1:9') },
      {},
      'TORCHSERVE_UNREACHABLE',
      /Start TorchServe/,
    ],
  } as const
  for (const [name, [server, env, code, remedy]] of Object.entries(cases)) {
    const agent = await startAgent(server, env)
    const said = () => agent.log().filter(line => line['code'] === code)
    t.ok(await until(() => said().length > 0, 10_000), name)
    t.match(String(said()[0]?.['msg']), remedy)
    await new Promise(resolve => setTimeout(resolve, 3_000))
    t.equal(said().length, 1, `${name}: said once`)
    t.match(await agent.get('/healthz'), /ok/)
    t.equal(await agent.stop(), 0, 'and it ends cleanly')
  }
  const agent = await startAgent(tls, { STOKER_CA_FILE: tls.caFile ?? '' })
  t.ok(
    await until(async () => (await agent.decisions('m')).length > 0, 10_000),
    'with the CA it works',
  )
  await agent.stop()
})

t.test('the agent killed at any moment: the next one takes over what it finds', async t => {
  const server = await startTorchServe({
    models: [
      { name: 'm', behaviour: { serviceMs: 100, loadMs: 500 }, config: { jobQueueSize: 1000 } },
    ],
  })
  t.teardown(() => server.stop())
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/m`,
    rps: 20,
    seed: 3,
    timeoutMs: 30_000,
  })
  const kills = 20
  for (let i = 0; i < kills; i++) {
    const agent = await startAgent(server, { STOKER_HOLD_MS: '1000', STOKER_TICK_MS: '200' })
    traffic.setRate(i % 2 === 0 ? 30 : 5)
    await new Promise(resolve => setTimeout(resolve, 1_500 + ((i * 377) % 2_500)))
    await agent.kill()
  }
  const agent = await startAgent(server)
  traffic.setRate(10)
  const sound = async () => {
    const workers = await workersOf(server, 'm')
    return workers.length > 0 && workers.every(({ status }) => status === 'READY')
  }
  t.ok(await until(sound, 30_000), 'every listed worker is ready: none stopped, none half loaded')
  await agent.stop()
  const listed = new Set((await workersOf(server, 'm')).map(({ pid }) => pid))
  const sinceMs = Date.now() + 200
  await new Promise(resolve => setTimeout(resolve, 5_000))
  const verdict = judge(await traffic.stop(), server.log('m').executions)
  t.same(verdict.hung, [], 'no request hangs on a worker left stopped')
  t.same(verdict.lost, [], 'none was lost')
  const served = server.log('m').executions.filter(({ beginMs }) => beginMs > sinceMs)
  t.ok(served.length > 10)
  t.ok(
    served.every(({ pid }) => listed.has(pid)),
    'no worker outside the list serves',
  )
})
