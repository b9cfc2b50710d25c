/** Goal: what the agent serves, its limits and its refusals. Method: real HTTP on a free port, with the clock in hand. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { StokerError } from '../../src/errors.ts'
import { createExport } from '../../src/export/server.ts'
import { tickOf, type TickSketch } from './ticks.ts'

const base = {
  mode: 'act',
  tickMs: 1_000,
  drainMs: 25_000,
  listenHost: '127.0.0.1',
  listenPort: 0,
} as const

async function serve(t: Test, config: Partial<Parameters<typeof createExport>[0]['config']> = {}) {
  const time = { ms: 1_000_000 }
  const clock = { now: () => time.ms, sleep: async () => {} }
  const shown = createExport({ config: { ...base, ...config }, clock, version: '1.2.3' })
  t.teardown(() => shown.close())
  const url = await shown.listen()
  return {
    url,
    time,
    record: (tick: Omit<TickSketch, 'atMs'>) => shown.record(tickOf({ atMs: time.ms, ...tick })),
    get: async (path: string, init: RequestInit = {}) => {
      const reply = await fetch(new URL(path, url), init)
      const text = await reply.text()
      const isJson =
        text !== '' && reply.headers.get('content-type')?.startsWith('application/json')
      const body: unknown = isJson ? JSON.parse(text) : text
      return { status: reply.status, headers: reply.headers, body }
    },
  }
}

t.test('a load is not told for longer than the loop runs', async t => {
  const { time, record, get } = await serve(t)
  const told = async () => /^stoker_pod_demand .*$/m.exec(String((await get('/metrics')).body))?.[0]
  record({ pools: [{}], podDemand: 0.25 })
  time.ms += 9_999
  t.equal(await told(), 'stoker_pod_demand 0.25')
  time.ms += 1
  t.equal(await told(), undefined, 'the pod counts as full, as one that fell silent')
  record({ pools: [{}], podDemand: 0.5 })
  t.equal(await told(), 'stoker_pod_demand 0.5')
})

t.test('/metrics is what Prometheus expects', async t => {
  const { record, get } = await serve(t)
  record({ pools: [{}] })
  const { status, headers, body } = await get('/metrics')
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.match(body, /^stoker_arrivals_per_second\{model="resnet",version="1\.0"\} 12\.5$/m)
})

t.test('/decisions tells the newest first, with reason, inputs and outcome', async t => {
  const { time, record, get } = await serve(t)
  record({ pools: [{ because: 'Two are right.' }] })
  time.ms += 1_000
  record({ pools: [{ reason: 'demand', action: { kind: 'grow', from: 2, to: 3 } }], memory: {} })
  const { body } = await get('/decisions')
  t.match(body, {
    decisions: [
      { reason: 'demand', label: 'More load', action: { from: 2, to: 3 }, inputs: { waiting: 3 } },
      { reason: 'steady', because: 'Two are right.', action: null, inputs: { knee: null } },
    ],
    resizes: [{ reason: 'fits', label: 'Fits', inputs: { ceiling: null } }],
    deletionCosts: [],
  })
  t.match((await get('/decisions?limit=1')).body, { decisions: [{ reason: 'demand' }] })
  const { body: ofOne } = await get('/decisions?pool=resnet&limit=1')
  t.match(ofOne, { decisions: [{ key: 'resnet' }], resizes: undefined })
})

t.test('a query that cannot be answered is refused with what is allowed', async t => {
  const { record, get } = await serve(t)
  record({ pools: [{}] })
  for (const [path, message] of [
    ['/decisions?limit=0', /'limit' must be a whole number from 1 to 200, not '0'/],
    ['/decisions?limit=many', /not 'many'/],
    ['/decisions?limit=1e3', /not '1e3'/],
    ['/decisions?limit=1&limit=2', /'limit' is given twice/],
    ['/decisions?pool=nope', /there is no 'nope'. Known: resnet/],
    ['/decisions?modle=resnet', /Unknown parameter 'modle'; allowed here: pool, limit/],
    ['/state?since=-1', /'since' must be a whole number/],
    ['/state?since=99999999999999999999', /'since' must be a whole number/],
  ] as const) {
    const { status, body } = await get(path)
    t.equal(status, 400, path)
    t.match(body, { error: { code: 'QUERY_INVALID', message } }, path)
  }
})

t.test('/state tells what the page draws, and then only news', async t => {
  const { time, record, get } = await serve(t)
  t.match((await get('/state')).body, { tickAtMs: null, pools: [], agent: { version: '1.2.3' } })
  record({ pools: [{}] })
  t.match((await get('/state?since=0')).body, {
    agent: { mode: 'act', startedAtMs: 1_000_000, tickMs: 1_000 },
    tickAtMs: 1_000_000,
    torchserve: { state: 'fresh' },
    pools: [{ key: 'resnet', points: [[1_000_000, 12.5, 3, 2, 1, 0, 4, 8, 200]] }],
  })
  const { body } = await get(`/state?since=${time.ms}`)
  t.match(body, { pools: [{ key: 'resnet', points: [] }], decisions: [] })
})

t.test('/healthz is green while ticks come, and from the start for as long', async t => {
  const { time, record, get } = await serve(t)
  t.equal((await get('/healthz')).status, 200)
  time.ms += 9_999
  t.equal((await get('/healthz')).status, 200)
  time.ms += 1
  const { status, body } = await get('/healthz')
  t.equal(status, 503)
  t.match(body, { reason: 'The loop has not run for 10 s; the limit is 10 s.' })
  record({ torchserve: 'absent' })
  t.equal((await get('/healthz')).status, 200, 'without TorchServe the agent is well')
})

t.test('/healthz allows a slow loop five ticks', async t => {
  const { time, record, get } = await serve(t, { tickMs: 4_000 })
  record({})
  time.ms += 19_999
  t.equal((await get('/healthz')).status, 200)
  time.ms += 1
  t.equal((await get('/healthz')).status, 503)
})

t.test('the page and everything it loads comes from here, with nothing inline', async t => {
  const { get } = await serve(t)
  const { body, headers } = await get('/')
  t.match(headers.get('content-security-policy'), /^default-src 'self';/)
  t.notMatch(body, /<script>|<style|style="|\son\w+="|https?:/)
  const links = [...String(body).matchAll(/(?:src|href)="([^"]+)"/g)].map(match => match[1] ?? '')
  t.ok(links.length >= 5)
  const seen = new Set<string>()
  for (const link of links) await fetchAll(link)
  async function fetchAll(path: string): Promise<void> {
    if (seen.has(path)) return
    seen.add(path)
    const reply = await get(path)
    t.equal(reply.status, 200, path)
    const imports = [...String(reply.body).matchAll(/^import .*'\.\/([^']+)'/gm)]
    for (const [, next = ''] of imports) await fetchAll(next)
  }
  t.ok(seen.has('plot.js'), 'followed the imports of the scripts')
})

t.test('an asset is sent once and then only confirmed', async t => {
  const { get } = await serve(t)
  const first = await get('/page.css')
  const etag = first.headers.get('etag') ?? ''
  t.equal(first.headers.get('cache-control'), 'no-cache')
  const again = await get('/page.css', { headers: { 'if-none-match': etag } })
  t.equal(again.status, 304)
  t.equal(again.body, '')
})

t.test('HEAD answers without a body', async t => {
  const { get } = await serve(t)
  for (const path of ['/', '/metrics', '/decisions', '/healthz', '/state', '/page.js']) {
    const { status, body } = await get(path, { method: 'HEAD' })
    t.equal(status, 200, path)
    t.equal(body, '', path)
  }
})

t.test('what is not there is a 404 in JSON that says what is', async t => {
  const { get } = await serve(t)
  for (const [path, method] of [
    ['/metric', 'GET'],
    ['/../package.json', 'GET'],
    ['/page/page.js', 'GET'],
    ['/decisions', 'POST'],
  ] as const) {
    const { status, body } = await get(path, { method })
    t.equal(status, 404, path)
    t.match(body, { error: { code: 'NOT_FOUND', message: /try GET \/, \/metrics/ } }, path)
  }
})

t.test('large bodies and large headers are refused', async t => {
  const { get } = await serve(t)
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify('x'.repeat(2_000))
  t.equal((await get('/state', { method: 'POST', headers, body })).status, 413)
  t.equal((await get('/state', { headers: { 'x-long': 'x'.repeat(9_000) } })).status, 431)
})

t.test('a connection is kept for the next scrape', async t => {
  const { url } = await serve(t)
  const call = request(new URL('/healthz', url))
  call.end()
  const [reply] = await once(call, 'response')
  t.equal(reply.headers['keep-alive'], 'timeout=20')
  reply.resume()
})

t.test('closing does not wait for idle connections', async t => {
  const clock = { now: () => 0, sleep: async () => {} }
  const shown = createExport({ config: base, clock, version: '1' })
  const { port } = new URL(await shown.listen())
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  await shown.close()
  await closed
  t.ok(socket.destroyed)
})

t.test('a port that is taken is named, with the variable to change', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => void other.close())
  const address = other.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const clock = { now: () => 0, sleep: async () => {} }
  const shown = createExport({ config: { ...base, listenPort: port }, clock, version: '1' })
  t.teardown(() => shown.close())
  const error = await shown.listen().catch((caught: unknown) => caught)
  t.type(error, StokerError)
  t.match(error, {
    code: 'LISTEN_FAILED',
    message: `STOKER_LISTEN_PORT: cannot listen on 127.0.0.1:${port} (the port is in use).`,
  })
})
