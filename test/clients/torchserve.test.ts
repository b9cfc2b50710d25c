import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { createTorchServe, type TorchServeConfig } from '../../src/clients/torchserve.ts'
import { wallClock } from '../../src/clock.ts'
import { caFile, listen, opened, send, tokenRefused, unknownPath, until } from './listen.ts'

const captures = new URL('../captures/torchserve/', import.meta.url)
const capture = (name: string) => readFileSync(new URL(name, captures), 'utf8')
const accepted = { status: 'Processing worker updates...' }

function client(t: Test, url: URL, config: Partial<TorchServeConfig> = {}, clock = wallClock) {
  const torchserve = createTorchServe(
    {
      managementUrl: url,
      metricsUrl: url,
      inferenceUrl: url,
      caFile: undefined,
      keyFile: undefined,
      timeoutMs: 2_000,
      ...config,
    },
    clock,
  )
  t.teardown(() => torchserve.close())
  return torchserve
}

t.test('models are listed over several pages', async t => {
  const server = await listen(t, (request, response) => {
    const page = new URL(request.url ?? '', 'http://x').searchParams.get('next_page_token')
    const models = (page ? ['c'] : ['a', 'b']).map(name => ({ modelName: name, modelUrl: 'x' }))
    send(response, 200, page ? { models } : { nextPageToken: '2', models })
  })
  t.strictSame(await client(t, server.url).listModels(), ['a', 'b', 'c'])
  t.strictSame(server.asked, ['GET /models?limit=100', 'GET /models?limit=100&next_page_token=2'])
})

t.test('a list that never ends is left after 20 pages', async t => {
  const server = await listen(t, (_, response) =>
    send(response, 200, { nextPageToken: '1', models: [{ modelName: 'a' }] }),
  )
  await t.rejects(client(t, server.url).listModels(), { code: 'TORCHSERVE_REPLY_TOO_LARGE' })
  t.equal(server.asked.length, 20)
})

t.test('what is no list of models is not taken for an empty one', async t => {
  const replies: unknown[] = [[], {}, { models: [{ name: 'x' }] }, { models: [], nextPageToken: 3 }]
  const server = await listen(t, (_, response) => send(response, 200, replies.shift()))
  const torchserve = client(t, server.url)
  while (replies.length > 0) {
    await t.rejects(torchserve.listModels(), {
      code: 'TORCHSERVE_NOT_TORCHSERVE',
      message: new RegExp(`GET ${server.url.origin}/models\\?limit=100 answered no list`),
    })
  }
})

t.test('a management URL with the wrong port says so', async t => {
  const server = await listen(t, (_, response) => send(response, 404, unknownPath))
  const torchserve = client(t, server.url)
  const wrong = { code: 'TORCHSERVE_NOT_TORCHSERVE', message: /STOKER_MANAGEMENT_URL is 8081/ }
  await t.rejects(torchserve.listModels(), wrong)
  await t.rejects(torchserve.metrics([]), wrong)
  await t.rejects(torchserve.describe('m'), wrong)
})

t.test('a description is what TorchServe says, by an encoded name', async t => {
  const text = capture('describe_all_two_versions.json')
  const server = await listen(t, (_, response) => send(response, 200, JSON.parse(text)))
  const torchserve = client(t, server.url)
  t.strictSame(await torchserve.describe('sleep'), JSON.parse(text))
  await torchserve.describe('a/b c?')
  await torchserve.describeDefault('a/b c?')
  t.strictSame(server.asked, [
    'GET /models/sleep/all',
    'GET /models/a%2Fb%20c%3F/all',
    'GET /models/a%2Fb%20c%3F',
  ])
})

t.test('workers are set to exactly N, asynchronously, in that version', async t => {
  const server = await listen(t, (_, response) => send(response, 202, accepted))
  const torchserve = client(t, server.url)
  await torchserve.scale({ model: 'sleep', version: '2.0' }, 3)
  await torchserve.scale({ model: 'sleep', version: '2.0' }, 0)
  t.strictSame(server.asked, [
    'PUT /models/sleep/2.0?min_worker=3&max_worker=3',
    'PUT /models/sleep/2.0?min_worker=0&max_worker=0',
  ])
  for (const workers of [-1, 1.5, Number.NaN]) {
    await t.rejects(torchserve.scale({ model: 'sleep', version: '2.0' }, workers), RangeError)
  }
  t.equal(server.asked.length, 2, 'TorchServe never hears of those')
})

t.test('where inference and management share an address, versions go into the query', async t => {
  const server = await listen(t, (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://x')
    if (/^\/models\/[^/]+\//.test(pathname)) send(response, 404, unknownPath)
    else if (request.method === 'PUT') send(response, 202, accepted)
    else if (pathname.endsWith('/gone')) {
      send(response, 404, { code: 404, type: 'ModelNotFoundException', message: 'Model not found' })
    } else send(response, 200, [{ modelName: 'sleep' }])
  })
  const torchserve = client(t, server.url)
  t.strictSame(await torchserve.describe('sleep'), [{ modelName: 'sleep' }])
  await torchserve.scale({ model: 'sleep', version: '1.0' }, 2)
  await torchserve.describe('sleep')
  t.strictSame(server.asked, [
    'GET /models/sleep/all',
    'GET /models/sleep',
    'PUT /models/sleep?model_version=1.0&min_worker=2&max_worker=2',
    'GET /models/sleep',
  ])
  await t.rejects(torchserve.describe('gone'), { code: 'TORCHSERVE_NOT_FOUND' })
})

t.test('an unknown model or version is not asked for in another way', async t => {
  const server = await listen(t, (_, response) =>
    send(response, 404, { code: 404, type: 'ModelVersionNotFoundException', message: 'none' }),
  )
  const torchserve = client(t, server.url)
  await t.rejects(torchserve.scale({ model: 'm', version: '9' }, 1), {
    code: 'TORCHSERVE_NOT_FOUND',
  })
  await t.rejects(torchserve.describe('m'), { code: 'TORCHSERVE_NOT_FOUND' })
  t.equal(server.asked.length, 2)
})

t.test('metrics are asked by name, without a token, and may be 4 MiB', async t => {
  const page = capture('prometheus_3_two_models_two_versions.txt')
  const big = `x{a="${'y'.repeat(100)}",} 1.0\n`.repeat(37_000)
  const server = await listen(t, (request, response) => {
    if (request.url === '/metrics?name[]=big') send(response, 200, big)
    else if (request.url === '/metrics?name[]=huge') send(response, 200, big + big)
    else send(response, 200, page)
  })
  const keyFile = `${t.testdir({ 'key_file.json': 'never read' })}/key_file.json`
  const torchserve = client(t, server.url, { keyFile })
  t.equal(await torchserve.metrics(['a', 'b']), page)
  t.equal(await torchserve.metrics([]), page)
  t.strictSame(server.asked, ['GET /metrics?name[]=a&name[]=b', 'GET /metrics'])
  t.equal(server.headers[0]?.authorization, undefined)
  t.equal((await torchserve.metrics(['big'])).length, big.length)
  await t.rejects(torchserve.metrics(['huge']), { code: 'TORCHSERVE_REPLY_TOO_LARGE' })
})

t.test('a ping that says Unhealthy is an answer', async t => {
  const replies: [number, unknown][] = [
    [200, { status: 'Healthy' }],
    [500, { status: 'Unhealthy' }],
    [200, { status: 'Partial Healthy' }],
    [500, { code: 500, type: 'InternalServerException', message: 'boom' }],
    [200, { pong: true }],
  ]
  const server = await listen(t, (_, response) => send(response, ...(replies.shift() ?? [500, ''])))
  const torchserve = client(t, server.url)
  t.equal(await torchserve.ping(), 'healthy')
  t.equal(await torchserve.ping(), 'unhealthy')
  t.equal(await torchserve.ping(), 'unhealthy')
  await t.rejects(torchserve.ping(), { code: 'TORCHSERVE_FAILED', message: /boom/ })
  await t.rejects(torchserve.ping(), { code: 'TORCHSERVE_NOT_TORCHSERVE' })
})

t.test('a change does not wait behind the looks of a second', async t => {
  const server = await listen(t, ({ method }, response) => {
    if (method === 'PUT') send(response, 202, { status: 'Processing worker updates...' })
    else setTimeout(() => send(response, 200, []), 500)
  })
  const torchserve = client(t, server.url)
  let looked = 0
  const looks = Array.from({ length: 4 }, (_, i) =>
    torchserve.describe(`m${i}`).then(() => looked++),
  )
  await torchserve.scale({ model: 'm', version: '1.0' }, 2)
  t.equal(looked, 0)
  await Promise.all(looks)
})

t.test('many calls share eight connections; a frozen server gets no more', async t => {
  const server = await listen(t, (_, response) => setTimeout(() => send(response, 200, []), 10))
  const torchserve = client(t, server.url)
  await Promise.all(Array.from({ length: 12 }, (_, i) => torchserve.describe(`m${i}`)))
  t.equal(server.most(), 8)

  const frozen = await opened(
    t,
    createServer(socket => void socket.resume()),
  )
  const stuck = client(t, frozen.url, { timeoutMs: 50 })
  const calls = [
    stuck.metrics(['x']),
    stuck.listModels(),
    stuck.describe('m'),
    stuck.describeDefault('m'),
    stuck.scale({ model: 'm', version: '1.0' }, 1),
    stuck.ping(),
  ]
  for (const call of calls) {
    await t.rejects(call, { code: 'TORCHSERVE_TIMEOUT', message: /no answer within 50 ms/ })
  }
  await until(() => frozen.open.size === 0)
})

t.test('over TLS', async t => {
  const server = await listen(t, (_, response) => send(response, 200, []), { tls: true })
  t.strictSame(await client(t, server.url, { caFile }).describe('m'), [])
  await t.rejects(client(t, server.url).describe('m'), { code: 'TORCHSERVE_TLS' })
})

/** A TorchServe with tokens: its key file, and the port that renews them. */
async function guarded(t: Test, lifeS: number) {
  const keyFile = `${t.testdir()}/key_file.json`
  let offsetMs = 0
  const clock = { ...wallClock, now: () => wallClock.now() + offsetMs }
  const make = (key: string) => ({
    key,
    'expiration time': new Date(clock.now() + lifeS * 1000).toISOString(),
  })
  const keys = { management: make('man00000'), inference: make('inf00000') }
  const write = () => writeFileSync(keyFile, JSON.stringify({ ...keys, API: { key: 'api00000' } }))
  write()
  const state = { onRefused: () => {} }
  const server = await listen(t, (request, response) => {
    const [path, query] = (request.url ?? '').split('?')
    const key = request.headers.authorization
    const opener = path === '/ping' ? keys.inference : keys.management
    if (path === '/token' && key === 'Bearer api00000') {
      const renewed = make(`new0000${server.asked.length}`)
      if (query === 'type=inference') keys.inference = renewed
      else keys.management = renewed
      write()
      send(response, 200, '\n')
    } else if (path === '/token' || key !== `Bearer ${opener.key}`) {
      state.onRefused()
      send(response, 400, tokenRefused)
    } else send(response, 200, path === '/ping' ? { status: 'Healthy' } : { models: [] })
  })
  const restart = () => (keys.management = make('restart0'))
  const advance = (ms: number) => (offsetMs += ms)
  return { server, keyFile, state, write, clock, restart, advance }
}

t.test('tokens open each port, and are renewed with the API key before they expire', async t => {
  const { server, keyFile, clock, advance } = await guarded(t, 100)
  const torchserve = client(t, server.url, { keyFile }, clock)
  t.strictSame(await torchserve.listModels(), [])
  t.equal(await torchserve.ping(), 'healthy')
  t.strictSame(await torchserve.authorization('inference'), { Authorization: 'Bearer inf00000' })
  advance(90_000)
  t.strictSame(await torchserve.listModels(), [])
  t.strictSame(await torchserve.listModels(), [])
  t.equal(await torchserve.ping(), 'healthy')
  t.strictSame(
    server.asked.filter(call => call.includes('token')),
    ['GET /token?type=management', 'GET /token?type=inference'],
  )
})

t.test('a token refused is looked up once more, for TorchServe may have restarted', async t => {
  const { server, keyFile, state, restart, write } = await guarded(t, 3_600)
  const torchserve = client(t, server.url, { keyFile })
  await torchserve.listModels()
  restart()
  await t.rejects(torchserve.listModels(), { code: 'TORCHSERVE_UNAUTHORIZED' })
  t.equal(server.asked.length, 2, 'the same token is not tried twice')
  state.onRefused = write
  t.strictSame(await torchserve.listModels(), [])
  t.equal(server.asked.length, 4)
})

t.test('without a key file the message says what to set, with a wrong one no secret', async t => {
  const { server, keyFile } = await guarded(t, 3_600)
  await t.rejects(client(t, server.url).listModels(), {
    code: 'TORCHSERVE_UNAUTHORIZED',
    message: /Token Authorization failed.*STOKER_KEY_FILE/,
  })
  writeFileSync(keyFile, '{"management": {"key": "sEcReT99"}, "API": {"key": "sEcReT98"}}')
  const reason = await client(t, server.url, { keyFile }).listModels().catch(String)
  t.match(reason, /Token Authorization failed/)
  t.notMatch(reason, /sEcReT/)
})
