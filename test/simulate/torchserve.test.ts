import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  startTorchServe,
  type Emulation,
  type EmulationOptions,
} from '../../src/simulate/torchserve.ts'

/** Loads at once, serves in 40 ms. */
const quick = { startMs: 1, loadMs: 1, serviceMs: 40 } as const

async function serve(t: Test, options: Partial<EmulationOptions> = {}): Promise<Emulation> {
  const models = [{ name: 'm', ...quick }]
  const emulation = await startTorchServe({ models, ...options })
  t.teardown(() => emulation.close())
  await ready(emulation)
  return emulation
}

async function ready({ core }: Emulation): Promise<void> {
  const loading = () => JSON.stringify(core.describe({ model: 'm' })).includes('UNLOADING')
  while (loading()) await new Promise(resolve => setTimeout(resolve, 2))
}

async function ask(url: string, method = 'GET', token?: string) {
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}
  const reply = await fetch(url, { method, headers })
  const body = await reply.text()
  return { status: reply.status, reason: reply.statusText, headers: reply.headers, body }
}

/** Sends bytes on one connection and gives what came back once `enough` says so or the other side closes. */
function raw(url: string, bytes: string, enough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes))
    let text = ''
    const end = () => {
      socket.destroy()
      resolve(text)
    }
    socket.on('data', chunk => {
      text += String(chunk)
      if (enough(text)) end()
    })
    socket.on('end', end)
    socket.on('error', reject)
  })
}

t.test('calls and their replies, word for word', async t => {
  const { managementUrl: m, inferenceUrl: i } = await serve(t)
  const noMethod = /"Requested method is not allowed, please refer to API document\."/
  const noResource = /"Requested resource is not found, please refer to API document\."/
  const noVersion = /"Model version: 9\.9 does not exist for model: m"/
  const calls = [
    [
      'PUT',
      `${m}/models/m?min_worker=3`,
      202,
      '{\n  "status": "Processing worker updates..."\n}\n',
    ],
    ['PUT', `${m}/models/m/1.0?min_worker=1`, 202, /Processing/],
    ['PUT', `${m}/models/m?min_worker=1&model_version=1.0`, 202, /Processing/],
    ['PUT', `${m}/models/m?min_worker=4&max_worker=2`, 400, /max_worker cannot be less than min/],
    ['PUT', `${m}/models/m?max_worker=-1`, 400, /"BadRequestException"/],
    ['PUT', `${m}/models/z?min_worker=1`, 404, /"Model not found: z"/],
    ['PUT', `${m}/models/m/9.9?min_worker=1`, 404, noVersion],
    ['PUT', `${m}/models/m?min_worker=1&model_version=9.9`, 404, noVersion],
    ['GET', `${m}/models/z`, 404, /"code": 404,\n  "type": "ModelNotFoundException"/],
    ['GET', `${m}/models/z/all`, 404, /Model not found: z/],
    ['GET', `${m}/models/m/9.9`, 404, noVersion],
    ['POST', `${m}/models?url=x`, 405, noMethod],
    ['DELETE', `${m}/models/m`, 405, noMethod],
    ['GET', `${m}/`, 405, noMethod],
    ['GET', `${m}/metrics`, 404, noResource],
    ['GET', `${m}/models/m/1.0/x`, 404, noResource],
    [
      'PUT',
      `${m}/models/m/1.0/set-default`,
      200,
      /successfully updated for model \\"m\\" to \\"1\.0/,
    ],
    ['PUT', `${m}/models/m/9/set-default`, 404, /Model version 9 does not exist for model m/],
    ['GET', `${m}/v1/models/m`, 200, '{\n  "name": "m",\n  "ready": true\n}\n'],
    ['GET', `${i}/ping`, 200, '{\n  "status": "Healthy"\n}\n'],
    ['GET', `${i}/predictions/z`, 404, /Model not found: z/],
    ['GET', `${i}/models/m`, 404, noResource],
    ['GET', `${m}/%`, 400, /BadRequestException/],
  ] as const
  for (const [method, url, status, body] of calls) {
    const reply = await ask(url, method)
    t.match(reply, { status, body }, `${method} ${url}`)
    const connection = status >= 400 ? 'close' : 'keep-alive'
    t.equal(reply.headers.get('connection'), connection)
  }
})

t.test('no minimum, or one that is no integer, means one worker', async t => {
  const { managementUrl: m, core } = await serve(t, {
    models: [{ name: 'm', ...quick, workers: 3 }],
  })
  for (const query of ['', '?min_worker=nan', '?min_worker=3.0', '?min_worker=99999999999']) {
    core.scale({ model: 'm' }, 3, 3).catch(t.fail)
    t.match(await ask(`${m}/models/m${query}`, 'PUT'), { status: 202 })
    const [seen] = core.describe({ model: 'm' })
    t.match(seen, { minWorkers: 1, maxWorkers: 1 })
    t.equal(Array.isArray(seen?.['workers']) && seen['workers'].length, 1)
  }
  t.match(await ask(`${m}/models/m?max_worker=2`, 'PUT'), { status: 202 })
  t.match(core.describe({ model: 'm' })[0], { minWorkers: 1, maxWorkers: 2 })
  t.match(await ask(`${m}/models/m?min_worker=-1`, 'PUT'), { status: 500, body: /Index -1 out of/ })
})

t.test('names come in pages', async t => {
  const several = ['m', 'a', 'c', 'b'].map(name => ({ name, ...quick }))
  const { managementUrl } = await serve(t, { models: several })
  const page = async (query: string) => {
    const { models, nextPageToken } = JSON.parse(
      (await ask(`${managementUrl}/models${query}`)).body,
    )
    return [models.map((model: { modelName: string }) => model.modelName).join(), nextPageToken]
  }
  t.same(await page(''), ['a,b,c,m', undefined])
  t.same(await page('?limit=2'), ['a,b', '2'])
  t.same(await page('?limit=2&next_page_token=2'), ['c,m', '4'])
  t.same(await page('?limit=2&next_page_token=4'), ['', undefined])
  t.same(await page('?limit=-1'), ['a,b,c,m', undefined])
})

t.test('a description has the fields of a real one, in their order', async t => {
  const { managementUrl } = await serve(t)
  const { body, headers } = await ask(`${managementUrl}/models/m`)
  const real = readFileSync(new URL('describe_one.json', captures), 'utf8')
  const shape = (text: string) => text.replaceAll(/: ("[^"]*"|[\d.]+)/g, ': …')
  t.equal(shape(body), shape(real))
  t.equal(headers.get('content-type'), 'application/json')
  t.match(headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
})

t.test('predictions', async t => {
  const { inferenceUrl, managementUrl } = await serve(t)
  const reply = await ask(`${inferenceUrl}/predictions/m`, 'POST')
  t.match(reply, { status: 200, reason: '', body: 'OK' })
  t.match(await ask(`${inferenceUrl}/predictions/m/1.0`, 'POST'), { status: 200 })
  await ask(`${managementUrl}/models/m?min_worker=0`, 'PUT')
  t.match(await ask(`${inferenceUrl}/predictions/m`, 'POST'), {
    status: 503,
    body: /"Model \\"m\\" has no worker to serve inference request\. Please use scale workers API to add workers\. If this is a sequence inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize"/,
  })
  t.match(await ask(`${managementUrl}/v1/models/m`), { body: /"ready": false/ })
  t.match(await ask(`${inferenceUrl}/ping`), { status: 200 })
})

t.test('a request behind a decoy is answered before it, on the same connection', async t => {
  const { managementUrl, core } = await serve(t, {
    models: [{ name: 'm', ...quick, serviceMs: 100, describe: 'runs' }],
  })
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`
  const both = get('/models/m?customized=true') + get('/models/m')
  const text = await raw(managementUrl, both, got => got.includes('customizedMetadata'))
  const [, first = '', second = ''] = text.split('HTTP/1.1 ')
  t.match(first, /^200 OK\r\n[^]*x-request-id[^]*"pendingRequests": [01]/)
  t.notMatch(first, /customizedMetadata/)
  t.match(second, /^200 \r\n[^]*"customizedMetadata": \{\}/)
  t.notMatch(second, /x-request-id/)

  core.processes.signal(5_000_001, 'SIGSTOP')
  const lost = await raw(
    managementUrl,
    get('/models/m?customized=true') + get('/models/z'),
    () => false,
  )
  t.match(lost, /^HTTP\/1\.1 404 Not Found/)
  t.notMatch(lost, /customizedMetadata/)
})

t.test('synchronous calls wait for the workers', async t => {
  const loadFails = ({ loaded }: { loaded: number }) => (loaded > 2 ? 'cuda' : undefined)
  const { managementUrl: m } = await serve(t, { models: [{ name: 'm', ...quick, loadFails }] })
  const put = (query: string, version = '') =>
    ask(`${m}/models/m${version}?synchronous=true&${query}`, 'PUT')
  t.match(await put('min_worker=3'), { status: 200, body: /"Workers scaled to 3 for model: m"/ })
  t.match(await put('min_worker=1&max_worker=4', '/1.0'), {
    status: 200,
    body: /"Workers scaled to 1 for model: m, version: 1\.0"/,
  })
  t.match(await put('min_worker=4'), {
    status: 507,
    body: /"code": 507,\n  "type": "InternalServerException",\n  "message": "Failed to start workers for model m version: null"/,
  })
  t.match(await put('min_worker=4'), { status: 206, body: /"Workers scaling in progress\.\.\."/ })
})

t.test('the metrics page in its three modes', async t => {
  const read = async (metricsMode: 'prometheus' | 'legacy' | 'log') => {
    const { inferenceUrl, metricsUrl } = await serve(t, { metricsMode })
    await ask(`${inferenceUrl}/predictions/m`, 'POST')
    return (query = '') => ask(`${metricsUrl}/metrics${query}`)
  }
  const prometheus = await read('prometheus')
  const { body, headers } = await prometheus()
  t.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const heads = (text: string) => text.split('\n').filter(line => line.startsWith('#'))
  const real = readFileSync(new URL('prometheus_2_after_load_one_model.txt', captures), 'utf8')
  t.same(heads(body), heads(real))
  t.match(body, /^Requests2XX{Level="Host",Hostname="emulated",} 1\.0$/m)
  t.notMatch(body, /^Requests4XX{/m)

  const filtered = await prometheus('?name[]=ts_inference_requests_total&name[]=HandlerTime')
  t.match(filtered.body, /^# HELP ts_inference_requests_total .*\n# TYPE .*\n.* 1\.0\n$/)
  const legacy = await (await read('legacy'))()
  t.same(heads(legacy.body).length, 6)
  t.match(await (await read('log'))(), { status: 200, body: /^$/ })
})

t.test('tokens', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const keyFile = join(folder, 'key_file.json')
  const { managementUrl: m, inferenceUrl: i, metricsUrl } = await serve(t, { tokens: { keyFile } })
  const keys = () => JSON.parse(readFileSync(keyFile, 'utf8'))
  const { management, inference, API } = keys()
  t.equal(statSync(keyFile).mode & 0o777, 0o600)
  t.match(management, { key: /^[\w-]{8}$/, 'expiration time': /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z$/ })

  t.match(await ask(`${m}/models`), {
    status: 400,
    body: /Token Authorization failed\. Token either/,
  })
  t.match(await ask(`${m}/models`, 'GET', inference.key), { status: 400 })
  t.match(await ask(`${m}/models`, 'GET', API.key), { status: 400 })
  t.match(await ask(`${m}/models`, 'GET', management.key), { status: 200 })
  t.match(await ask(`${i}/ping`), { status: 400 })
  t.match(await ask(`${i}/ping`, 'GET', inference.key), { status: 200 })
  t.match(await ask(`${metricsUrl}/metrics`), { status: 200 })

  const wrong = { status: 400, body: /Token Authentication failed/ }
  t.match(await ask(`${m}/token?type=management`, 'GET', management.key), wrong)
  t.match(await ask(`${m}/token`, 'GET', API.key), wrong)
  const before = readFileSync(keyFile, 'utf8')
  const renewal = ask(`${m}/token?type=management`, 'GET', API.key)
  const texts = new Set<string>()
  let renewed = false
  void renewal.then(() => (renewed = true))
  while (!renewed) {
    texts.add(readFileSync(keyFile, 'utf8'))
    await new Promise(resolve => setImmediate(resolve))
  }
  t.match(await renewal, { status: 200, body: '\n' })
  texts.delete(readFileSync(keyFile, 'utf8'))
  t.same(texts, new Set([before, '']), 'empty for a moment')
  t.match(await ask(`${m}/models`, 'GET', management.key), { status: 400 })
  t.match(await ask(`${m}/models`, 'GET', keys().management.key), { status: 200 })
  t.equal(keys().inference.key, inference.key)
})

t.test('an expired token is refused', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const tokens = { keyFile: join(folder, 'key_file.json'), expirationMin: 0 }
  const { managementUrl } = await serve(t, { tokens })
  const { management } = JSON.parse(readFileSync(tokens.keyFile, 'utf8'))
  t.match(await ask(`${managementUrl}/models`, 'GET', management.key), { status: 400 })
})

t.test('frozen, it accepts connections and says nothing', async t => {
  const { managementUrl, core } = await serve(t)
  core.freeze()
  let answered = false
  const reply = ask(`${managementUrl}/models`)
  void reply.then(() => (answered = true))
  await new Promise(resolve => setTimeout(resolve, 50))
  t.notOk(answered)
  core.thaw()
  t.match(await reply, { status: 200 })
})

t.test('a restart cuts everything off and begins anew, on the same ports', async t => {
  const emulation = await serve(t, { models: [{ name: 'm', ...quick, serviceMs: 10_000 }] })
  const { inferenceUrl, managementUrl, metricsUrl, core } = emulation
  const cut = ask(`${inferenceUrl}/predictions/m`, 'POST')
  await Promise.all([t.rejects(cut), waitFor(core).then(() => emulation.restart(20))])
  await ready(emulation)
  const { body } = await ask(`${managementUrl}/models/m`)
  t.match(JSON.parse(body), [{ workers: [{ id: '9000', pid: 5_000_002 }] }])
  t.notMatch((await ask(`${metricsUrl}/metrics`)).body, /ts_inference_requests_total{/)
})

async function waitFor({ processes }: Emulation['core']): Promise<void> {
  while (processes.look(5_000_001) !== 'busy') await new Promise(resolve => setImmediate(resolve))
}

const captures = new URL('../captures/torchserve/', import.meta.url)
