import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Description } from '../../src/model.ts'
import { Attribution, readPage, requestsByModel } from '../../src/observe/counters.ts'
import { parseExposition } from '../../src/observe/exposition.ts'

const captures = new URL('../captures/torchserve/', import.meta.url)
const captured = (name: string) =>
  readPage(parseExposition(readFileSync(new URL(name, captures), 'utf8')))

/** A page with these requests by version, each of 1 ms, half of it waited. */
const page = (requests: Record<string, number>) =>
  readPage(
    Object.entries(requests).flatMap(([model_version, n]) => {
      const labels = { model_name: 'm', model_version, hostname: 'vm' }
      return [
        { name: 'ts_inference_requests_total', labels, value: n },
        { name: 'ts_inference_latency_microseconds', labels, value: 1000 * n },
        { name: 'ts_queue_latency_microseconds', labels, value: 500 * n },
      ]
    }),
  )

function described(model: string, versions: string[], isDefault: string): Description[] {
  return versions.map(version => ({
    id: { model, version },
    isDefault: version === isDefault,
    minWorkers: 1,
    maxWorkers: 1,
    batchSize: 1,
    maxBatchDelayMs: 100,
    responseTimeoutMs: 120_000,
    startupTimeoutMs: 120_000,
    maxRetryMs: 300_000,
    workers: [],
    pending: 0,
    queueFree: 100,
    refusal: undefined,
  }))
}

t.test('requests without a version belong to the default one', t => {
  const sleep = described('sleep', ['1.0', '2.0'], '1.0')
  const burn = described('burn', ['1.0'], '1.0')
  const counts = new Attribution().count(captured('prometheus_3_two_models_two_versions.txt'), [
    sleep,
    burn,
  ])
  t.strictSame(
    [...sleep, ...burn].map(description => counts.get(description)),
    [
      {
        requests: 4,
        latencyUs: 331_655.975 + 105_156.406,
        queueUs: 65.187 + 9_172.221,
        predictionMs: undefined,
        sharedPredictionMs: 100.21,
      },
      {
        requests: 1,
        latencyUs: 104_580.959,
        queueUs: 88.762,
        predictionMs: undefined,
        sharedPredictionMs: 100.21,
      },
      { requests: 1, latencyUs: 97_550.369, queueUs: 101.692, predictionMs: 86.81 },
    ],
    'and the handler time of a model with two versions may be of either',
  )
  t.end()
})

t.test('a model without requests counts zero, in legacy mode without handler time', t => {
  const idle = described('idle', ['1.0'], '1.0')
  const sleep = described('sleep', ['1.0'], '1.0')
  const counts = new Attribution().count(captured('metrics_legacy_after_traffic.txt'), [
    idle,
    sleep,
  ])
  const zero = { requests: 0, latencyUs: 0, queueUs: 0, predictionMs: undefined }
  t.strictSame(
    idle.map(description => counts.get(description)),
    [zero],
  )
  t.match(
    sleep.map(description => counts.get(description)),
    [{ requests: 3, latencyUs: 370_037.374, predictionMs: undefined }],
  )
  t.end()
})

t.test('another default version takes nothing that was counted before', t => {
  const attribution = new Attribution()
  const requests = (isDefault: string, counted: Record<string, number>) => {
    const versions = described('m', ['1', '2'], isDefault)
    const counts = attribution.count(page(counted), [versions])
    return versions.map(version => counts.get(version)?.requests)
  }
  t.strictSame(requests('1', { default: 1_000, '1': 5, '2': 7 }), [1_005, 7])
  t.strictSame(requests('2', { default: 1_010, '1': 5, '2': 7 }), [1_015, 7])
  t.strictSame(requests('2', { default: 1_030, '1': 6, '2': 7 }), [1_016, 27])
  t.strictSame(requests('1', { default: 1_031, '1': 6, '2': 7 }), [1_016, 28])
  t.strictSame(requests('1', { default: 1_041, '1': 6, '2': 7 }), [1_026, 28])
  t.strictSame(requests('1', { default: 3, '1': 2 }), [5, 0], 'a restart begins anew')
  t.end()
})

t.test('the handler time is of the version that alone has answered, else of one that has', t => {
  const attribution = new Attribution()
  const versions = described('m', ['1', '2', '3'], '1')
  const told = (counted: Record<string, number>, ms: number) => {
    const gauge = new Map([['m', ms]])
    const counts = attribution.count({ ...page(counted), predictionMs: gauge }, [versions])
    return versions.map(version => {
      const { predictionMs, sharedPredictionMs } = counts.get(version) ?? {}
      return predictionMs ?? (sharedPredictionMs && `${sharedPredictionMs}?`)
    })
  }
  t.strictSame(told({ default: 5, '2': 5 }, 10), ['10?', '10?', undefined])
  t.strictSame(told({ default: 5, '2': 6 }, 20), [undefined, 20, undefined])
  t.strictSame(told({ default: 5, '2': 6 }, 20), [undefined, 20, undefined], 'none since')
  t.strictSame(told({ default: 6, '2': 7 }, 10), ['10?', '10?', undefined])
  t.strictSame(told({ default: 6, '2': 7, '3': 1 }, 30), [undefined, undefined, 30])
  t.strictSame(told({ '2': 1 }, 20), ['20?', '20?', '20?'], 'TorchServe began anew')
  t.strictSame(told({ '2': 2 }, 20), [undefined, 20, undefined])
  t.end()
})

t.test('where no answer is counted, as over gRPC, it is of those that were asked', t => {
  const labels = (model_version: string) => ({ model_name: 'm', model_version })
  const asked = (version: string) => ({
    name: 'ts_inference_requests_total',
    labels: labels(version),
    value: 3,
  })
  const gauge = { name: 'PredictionTime', labels: { ModelName: 'm' }, value: 40 }
  const versions = described('m', ['1', '2'], '1')
  const told = (...samples: ReturnType<typeof asked>[]) => {
    const counts = new Attribution().count(readPage([...samples, gauge]), [versions])
    return versions.map(version => counts.get(version))
  }
  t.match(told(asked('2')), [{ predictionMs: undefined }, { predictionMs: 40 }])
  t.match(told(asked('1'), asked('2')), [{ sharedPredictionMs: 40 }, { sharedPredictionMs: 40 }])
  t.end()
})

t.test('a version that is asked over gRPC may have run beside one that answers over HTTP', t => {
  const counters = (model_version: string, latencyUs: number) => {
    const labels = { model_name: 'm', model_version }
    return [
      { name: 'ts_inference_requests_total', labels, value: 3 },
      { name: 'ts_inference_latency_microseconds', labels, value: latencyUs },
    ]
  }
  const gauge = { name: 'PredictionTime', labels: { ModelName: 'm' }, value: 40 }
  const versions = described('m', ['1', '2', '3'], '1')
  const read = readPage([...counters('1', 90_000), ...counters('2', 0), gauge])
  const counts = new Attribution().count(read, [versions])
  t.match(
    versions.map(version => counts.get(version)?.sharedPredictionMs),
    [40, 40, undefined],
  )
  t.end()
})

t.test('without a known default version nothing is attributed', t => {
  const versions = described('m', ['1', '2'], 'unknown')
  t.equal(new Attribution().count(page({ default: 1 }), [versions]).size, 0)
  t.end()
})

t.test('numbers that are none and lines of others are left out', t => {
  const labels = { model_name: 'm', model_version: 'default' }
  const read = readPage([
    { name: 'ts_inference_requests_total', labels, value: Number.NaN },
    { name: 'ts_inference_requests_total', labels: {}, value: 9 },
    { name: 'ts_inference_requests_total', labels: { model_name: 'm' }, value: 2 },
    { name: 'constructor', labels, value: 3 },
    { name: 'PredictionTime', labels: {}, value: 3 },
  ])
  t.strictSame([...requestsByModel(read)], [['m', 2]])
  t.equal(read.predictionMs.size, 0)
  t.end()
})
