/** A TorchScript model behind TorchServe's BaseHandler: what the agent sees of handlers that compute, and what it does. */
import t from 'tap'
import { linuxProcesses } from '../../../src/clients/processes.ts'
import { readyOf, startAgent, workersOf } from '../agent.ts'
import { call } from '../http.ts'
import { startTorchServe } from '../torchserve.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(180_000)

const net = { name: 'net', handler: 'torchscript' } as const

t.test('its process looks idle between requests and busy during one', async t => {
  const server = await startTorchServe({ flavour: 'torch', models: [net] })
  t.teardown(() => server.stop())
  const processes = linuxProcesses()
  const pid = (await workersOf(server, 'net'))[0]?.pid ?? 0
  t.equal(processes.look(pid), 'idle')
  const answer = call(new URL('/predictions/net', server.inferenceUrl), {
    method: 'POST',
    body: 'one',
    headers: { 'content-type': 'application/octet-stream' },
  })
  t.ok(await until(() => processes.look(pid) === 'busy', 2000, 2), 'seen busy')
  t.equal((await answer).status, 200)
  t.ok(await until(() => processes.look(pid) === 'idle', 2000), 'idle again')

  const decoy = await call(new URL('/models/net?customized=true', server.managementUrl))
  t.match(JSON.parse(decoy.text), [{ customizedMetadata: {} }], 'BaseHandler describes itself')
  t.equal(server.log('net').executions.length, 1, 'without an inference')
})

t.test('its workers follow the load, and none of its clients is harmed', async t => {
  const server = await startTorchServe({ flavour: 'torch', models: [net] })
  t.teardown(() => server.stop())
  const agent = await startAgent(server, { STOKER_MAX_WORKERS: '3' })
  t.teardown(() => agent.stop())
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/net`,
    rps: 9,
    seed: 1,
    timeoutMs: 30_000,
  })
  t.ok(await until(async () => (await readyOf(server, 'net')) === 3, 40_000), 'grown')
  traffic.setRate(2)
  t.ok(await until(async () => (await readyOf(server, 'net')) === 2, 90_000), 'and shrunk')
  const takenAway = async () =>
    (await agent.decisions('net'))
      .flatMap(each => each.outcomes)
      .filter(each => each.kind === 'removed')
  t.ok(await until(async () => (await takenAway()).length > 0, 10_000), 'and says so')
  const removed = await takenAway()
  t.ok(
    removed.every(({ sureness }) => sureness === 'retired'),
    'each proven to hold nobody’s request',
  )
  const verdict = judge(await traffic.stop(), server.log('net').executions)
  t.comment(JSON.stringify({ ...verdict, lost: verdict.lost.length, hung: verdict.hung.length }))
  t.same(verdict.lost, [], 'no request was lost')
  t.same(verdict.hung, [])
  t.same(verdict.repeated, [], 'none was executed twice')
})
