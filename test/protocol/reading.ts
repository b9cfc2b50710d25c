/** What can be read: the description, the metrics page in its three modes, and the tokens that guard them. */
import { readFileSync } from 'node:fs'
import { call } from '../real/http.ts'
import { manage, metrics, predict, scale } from './calls.ts'
import type { Case, Scene, Target } from './target.ts'

const REQUESTS = 'ts_inference_requests_total'
const QUEUE = 'ts_queue_latency_microseconds'
const LATENCY = 'ts_inference_latency_microseconds'

const FIELDS = [
  'modelName modelVersion modelUrl runtime minWorkers maxWorkers batchSize maxBatchDelay',
  'responseTimeout startupTimeout maxRetryTimeoutInSec clientTimeoutInMills parallelType',
  'parallelLevel deviceType continuousBatching useJobTicket useVenv stateful sequenceMaxIdleMSec',
  'sequenceTimeoutMSec maxNumSequence maxSequenceJobQueueSize loadedAtStartup workers jobQueueStatus',
].flatMap(line => line.split(' '))
const WORKER_FIELDS = ['id', 'startTime', 'status', 'memoryUsage', 'pid', 'gpu', 'gpuUsage']

const description: Case = {
  name: 'the description has these fields, and one entry for each version',
  run: async (t, target) => {
    const one: Record<string, unknown>[] = JSON.parse((await manage(target, '/models/twice')).text)
    t.equal(one.length, 1)
    t.strictSame(Object.keys(one[0] ?? {}).toSorted(), FIELDS.toSorted())
    const [worker]: object[] = JSON.parse(JSON.stringify(one[0]?.['workers']))
    t.strictSame(Object.keys(worker ?? {}).toSorted(), WORKER_FIELDS.toSorted())
    t.match(one[0], {
      modelName: 'twice',
      modelVersion: '1.0',
      runtime: 'python',
      minWorkers: 1,
      maxWorkers: 1,
      batchSize: 1,
      responseTimeout: 120,
      startupTimeout: 120,
      parallelType: '',
      deviceType: 'cpu',
      stateful: false,
      loadedAtStartup: true,
      workers: [{ status: 'READY', gpu: false, gpuUsage: 'N/A', id: /^\d+$/, startTime: /Z$/ }],
      jobQueueStatus: { remainingCapacity: 100, pendingRequests: 0 },
    })
    const all: { modelVersion: string }[] = JSON.parse(
      (await manage(target, '/models/twice/all')).text,
    )
    t.strictSame(all.map(each => each.modelVersion).toSorted(), ['1.0', '2.0'])
    const list = JSON.parse((await manage(target, '/models')).text)
    t.match(list, { models: [{ modelName: 'twice' }] })
  },
}

const seriesAppear: Case = {
  name: 'series are absent before the first request; asked for by version they are others than by default',
  run: async (t, target) => {
    t.equal(samples(await metrics(target, REQUESTS)).length, 0, 'a family without a sample')
    await predict(target, 'twice', 'by default')
    await predict(target, 'twice/1.0', 'by version')
    await predict(target, 'twice/2.0', 'the other')
    const page = await metrics(target, REQUESTS)
    for (const version of ['default', '1.0', '2.0']) {
      const sample = new RegExp(
        `^${REQUESTS}\\{model_name="twice",model_version="${version}",hostname="[^"]+",\\} 1.0$`,
        'm',
      )
      t.match(page, sample, `one request for ${version}`)
    }
    const missing = await predict(target, 'twice/9.0', 'none')
    t.equal(missing.status, 404)
    t.equal(await metrics(target, REQUESTS), page, 'an unknown version is not counted')
  },
}

const filter: Case = {
  name: 'name[] leaves only the families named',
  run: async (t, target) => {
    const families = async (...names: string[]) => {
      const page = await metrics(target, ...names)
      return [...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => String(name)).toSorted()
    }
    t.strictSame(await families(REQUESTS), [REQUESTS])
    t.strictSame(await families(REQUESTS, QUEUE), [REQUESTS, QUEUE].toSorted())
    t.ok((await families()).includes('MemoryUsed'), 'without names there is more')
    const reply = await call(new URL('/metrics', target.metricsUrl))
    t.equal(reply.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  },
}

const logMode: Case = {
  name: 'in mode log the page is empty, also after traffic',
  run: async (t, target) => {
    await predict(target, 'twice', 'x')
    t.equal(await metrics(target), '')
  },
}

const legacyMode: Case = {
  name: 'in mode legacy the page has the three counters of requests',
  run: async (t, target) => {
    await predict(target, 'twice', 'x')
    const names = samples(await metrics(target)).map(line => line.slice(0, line.indexOf('{')))
    t.strictSame(names.toSorted(), [REQUESTS, LATENCY, QUEUE].toSorted())
  },
}

const tokens: Case = {
  name: 'calls need the right token in the right spelling; the metrics page needs none',
  run: async (t, target) => {
    const keys = readKeys(target)
    const status = async (authorization?: string) => {
      const headers: Record<string, string> = authorization ? { authorization } : {}
      return (await manage(target, '/models/twice', { headers })).status
    }
    t.equal(await status(), 400, 'none')
    t.equal(await status(`Bearer ${keys.inference.key}`), 400, 'the inference token')
    t.equal(await status(`Bearer ${keys.API.key}`), 400, 'the API token')
    t.equal(await status(`bearer ${keys.management.key}`), 400, 'in lower case')
    t.equal(await status(`Bearer ${keys.management.key}`), 200)
    t.match(JSON.parse((await scale(target, 'twice?min_worker=1')).text), {
      code: 400,
      type: 'InvalidKeyException',
      message: /^Token Authorization failed\. /,
    })
    t.equal((await call(new URL('/metrics', target.metricsUrl))).status, 200)
    t.equal(
      (await call(new URL('/ping', target.inferenceUrl))).status,
      400,
      'nor without for /ping',
    )
  },
}

const renewal: Case = {
  name: 'the API token renews another, which changes in the file',
  run: async (t, target) => {
    const before = readKeys(target)
    const renew = (key: string) => {
      const headers = { authorization: `Bearer ${key}` }
      return manage(target, '/token?type=management', { headers })
    }
    t.equal((await renew(before.management.key)).status, 400, 'not with the token itself')
    t.equal((await renew(before.API.key)).status, 200)
    const after = readKeys(target)
    t.not(after.management.key, before.management.key)
    t.equal(after.inference.key, before.inference.key)
    const use = async (key: string) => {
      const headers = { authorization: `Bearer ${key}` }
      return (await manage(target, '/models/twice', { headers })).status
    }
    t.equal(await use(before.management.key), 400, 'the old one is void')
    t.equal(await use(after.management.key), 200)
  },
}

function readKeys(target: Target): Record<'management' | 'inference' | 'API', { key: string }> {
  return JSON.parse(readFileSync(target.keyFile, 'utf8'))
}

function samples(page: string): string[] {
  return page.split('\n').filter(line => line !== '' && !line.startsWith('#'))
}

const twice = [
  { name: 'twice', serviceMs: 20 },
  { name: 'twice', version: '2.0', serviceMs: 20 },
]

export const reading: readonly Scene[] = [
  { name: 'reading', models: twice, cases: [description, seriesAppear, filter] },
  { name: 'mode log', models: twice, metricsMode: 'log', cases: [logMode] },
  { name: 'mode legacy', models: twice, metricsMode: 'legacy', cases: [legacyMode] },
  { name: 'tokens', models: twice, tokens: true, cases: [tokens, renewal] },
]
