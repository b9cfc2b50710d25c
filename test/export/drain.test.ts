/** Goal: who may ask for a drain, when it is answered, and when it is forgotten; what KEDA is told. Method: real HTTP, the clock in hand. */
import { request } from 'node:http'
import { networkInterfaces } from 'node:os'
import t, { type Test } from 'tap'
import { createExport } from '../../src/export/server.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { tickOf, type TickSketch } from './ticks.ts'

async function serve(t: Test) {
  const clock = virtualClock(1_000_000, 20)
  const config = { mode: 'act', tickMs: 1_000, drainMs: 25_000, listenPort: 0 } as const
  const shown = createExport({ config: { ...config, listenHost: '0.0.0.0' }, clock, version: '1' })
  t.teardown(() => shown.close())
  const { port } = new URL(await shown.listen())
  const call = (path: string, how: { headers?: Record<string, string>; host?: string } = {}) => {
    const { host = '127.0.0.1', headers } = how
    const options = { host, port, path, method: headers ? 'POST' : 'GET', headers: headers ?? {} }
    return new Promise<{ status: number | undefined; body: unknown }>((resolve, reject) => {
      const sent = request(options, reply => {
        let text = ''
        reply.on('data', (bytes: Buffer) => (text += bytes.toString()))
        reply.on('end', () => resolve({ status: reply.statusCode, body: JSON.parse(text) }))
      })
      sent.on('error', reject).end()
    })
  }
  const record = (tick: Omit<TickSketch, 'atMs'> = {}) =>
    shown.record(tickOf({ atMs: clock.now(), pools: [{}], ...tick }))
  /** A tick of a loop that sees the request and comes to this. */
  const drain = (done: boolean, because: string) => {
    const asked = shown.drain()
    record({ podDemand: 0.8, ...(asked && { drain: { request: asked, done, because } }) })
  }
  /** A hook’s call, which the agent has. */
  const hook = async () => {
    const reply = call('/drain', { headers: { 'stoker-drain': 'preStop' } })
    while (!shown.drain()) await new Promise(resolve => setImmediate(resolve))
    return { reply }
  }
  return { clock, shown, call, record, drain, hook }
}

t.test('it is answered when nothing is left', async t => {
  const { clock, shown, drain, hook } = await serve(t)
  t.equal(shown.drain(), undefined)
  let answered = false
  const { reply } = await hook()
  void reply.then(() => (answered = true))
  await clock.advance(12_000)
  drain(false, 'm: 3 waiting')
  await clock.advance(0)
  t.notOk(answered)
  drain(true, 'No request waits or is served')
  t.same(await reply, {
    status: 200,
    body: { drained: true, because: 'No request waits or is served', tookMs: 12_000 },
  })
  t.ok(shown.drain(), 'it is on its way')
  await clock.advance(30_000)
  t.equal(shown.drain(), undefined, 'the pod has stayed, and is itself again')
})

t.test('it is answered before the pod’s time is up, with what was left', async t => {
  const { clock, drain, hook } = await serve(t)
  const { reply } = await hook()
  drain(false, 'm: 3 waiting')
  await clock.advance(25_000)
  t.same(await reply, {
    status: 200,
    body: { drained: false, because: 'm: 3 waiting', tookMs: 25_000 },
  })
})

t.test('an agent that ends lets the hook go', async t => {
  const { shown, hook } = await serve(t)
  const { reply } = await hook()
  await shown.close()
  t.match(await reply, { body: { drained: false } })
})

t.test('nobody else can ask for it', async t => {
  const { shown, call } = await serve(t)
  const headers = { 'stoker-drain': 'preStop' }
  const own = Object.values(networkInterfaces())
    .flatMap(each => each ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address
  t.equal((await call('/drain')).status, 404, 'a GET, as browsers and scrapers send')
  for (const [what, how] of [
    ['a page of another site', { headers: { origin: 'http://elsewhere.example' } }],
    ['a page whose name points here', { headers: { ...headers, host: 'elsewhere.example:9790' } }],
    ...(own ? ([['another address', { headers, host: own }]] as const) : []),
  ] as const) {
    t.match(
      await call('/drain', how),
      { status: 403, body: { error: { code: 'DRAIN_REFUSED' } } },
      what,
    )
  }
  t.equal(shown.drain(), undefined)
})

t.test('/scaling is a number only where the load is known, and 0 while the pod goes', async t => {
  const { clock, call, record, drain, hook } = await serve(t)
  const unknown = (message: RegExp) => ({
    status: 503,
    body: { error: { code: 'DEMAND_UNKNOWN', message } },
  })
  t.match(await call('/scaling'), unknown(/not finished its first look/))
  record({ podDemand: 0.83 })
  t.same(await call('/scaling'), { status: 200, body: { podDemand: 0.83, draining: false } })
  record()
  t.match(await call('/scaling'), unknown(/not known yet/))
  record({ torchserve: 'stale' })
  t.match(await call('/scaling'), unknown(/did not answer/))
  record({ pools: [] })
  t.match(await call('/scaling'), unknown(/serves no model/))
  record({ podDemand: 0 })
  t.match(await call('/scaling'), { status: 200, body: { podDemand: 0 } })
  await clock.advance(10_000)
  t.match(await call('/scaling'), unknown(/loop has not run for 10 s/))
  const { reply } = await hook()
  drain(true, 'No request waits or is served')
  await reply
  t.same(await call('/scaling'), { status: 200, body: { podDemand: 0, draining: true } })
})
