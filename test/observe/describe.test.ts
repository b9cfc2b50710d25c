import { readFileSync } from 'node:fs'
import t from 'tap'
import { readDescriptions } from '../../src/observe/describe.ts'

const captures = new URL('../captures/torchserve/', import.meta.url)
const capture = (name: string): unknown => JSON.parse(readFileSync(new URL(name, captures), 'utf8'))
const asked = 'Description of model sleep'

const worker = { id: '9000', status: 'READY', gpu: false, pid: 1457, memoryUsage: 25_751_552 }
const version = {
  modelName: 'sleep',
  modelVersion: '1.0',
  minWorkers: 1,
  maxWorkers: 1,
  batchSize: 1,
  maxBatchDelay: 100,
  workers: [worker],
}
const one = (changes: object) => readDescriptions([{ ...version, ...changes }], asked)[0]

t.test('one version', t => {
  t.strictSame(readDescriptions(capture('describe_one.json'), asked), [
    {
      id: { model: 'sleep', version: '1.0' },
      isDefault: true,
      minWorkers: 1,
      maxWorkers: 1,
      batchSize: 1,
      maxBatchDelayMs: 100,
      responseTimeoutMs: 120_000,
      startupTimeoutMs: 120_000,
      maxRetryMs: 300_000,
      workers: [
        {
          id: '9000',
          pid: 4207,
          ready: true,
          alive: undefined,
          use: undefined,
          gpu: false,
          gpuUse: undefined,
          memoryBytes: undefined,
        },
      ],
      pending: 0,
      queueFree: 100,
      refusal: undefined,
      device: 'cpu',
    },
  ])
  t.end()
})

t.test('several versions, one of which is the default', t => {
  const read = readDescriptions(capture('describe_all_two_versions.json'), asked, '2.0')
  t.strictSame(
    read.map(({ id, isDefault, workers }) => [id.version, isDefault, workers[0]?.memoryBytes]),
    [
      ['1.0', false, 25_751_552],
      ['2.0', true, undefined],
    ],
  )
  const unknown = readDescriptions(capture('describe_all_two_versions.json'), asked)
  t.notOk(unknown.some(({ isDefault }) => isDefault))
  t.strictSame(readDescriptions([], asked), [])
  t.end()
})

t.test('an older TorchServe tells less', t => {
  t.match(one({}), {
    responseTimeoutMs: 120_000,
    startupTimeoutMs: 120_000,
    maxRetryMs: 300_000,
    pending: undefined,
    queueFree: undefined,
    refusal: undefined,
    device: undefined,
  })
  t.equal(one({ deviceType: '' })?.device, undefined)
  t.equal(one({ deviceType: 'gpu' })?.device, 'gpu')
  t.equal(one({ responseTimeout: 600 })?.startupTimeoutMs, 600_000, 'loading had as long')
  t.equal(one({ responseTimeout: 600, startupTimeout: 30 })?.startupTimeoutMs, 30_000)
  t.match(one({ batchSize: null, maxBatchDelay: null }), { batchSize: 1, maxBatchDelayMs: 100 })
  t.end()
})

t.test('workers keep their order, and what is not known of one is absent', t => {
  const workers = [
    { ...worker, id: '9003', status: 'UNLOADING', pid: -1, memoryUsage: 0 },
    { ...worker, id: '9001', gpu: true, gpuUsage: 'gpuId::0 utilization.gpu [%]::0 %' },
    { id: '9002', status: 'READY' },
  ]
  t.match(one({ workers })?.workers, [
    { id: '9003', pid: undefined, ready: false, gpu: false, memoryBytes: undefined },
    { id: '9001', pid: 1457, ready: true, gpu: true, memoryBytes: 25_751_552 },
    { id: '9002', pid: undefined, ready: true, gpu: false, memoryBytes: undefined },
  ])
  t.end()
})

t.test('-1 workers, which TorchServe keeps in its description, are none', t => {
  t.match(one({ minWorkers: -1, maxWorkers: -1, workers: [] }), { minWorkers: 0, maxWorkers: 0 })
  t.end()
})

t.test('models whose workers are more than workers are refused', t => {
  t.equal(one({ stateful: true })?.refusal, 'stateful')
  t.equal(one({ parallelLevel: 2 })?.refusal, 'parallel')
  t.equal(one({ parallelLevel: 0, parallelType: 'tp' })?.refusal, 'parallel')
  t.equal(one({ continuousBatching: true })?.refusal, 'continuous_batching')
  t.equal(one({ useJobTicket: true })?.refusal, 'job_ticket')
  t.equal(one({ parallelLevel: 0, parallelType: '', stateful: false })?.refusal, undefined)
  t.end()
})

t.test('what is no description is refused, by its field', t => {
  const cases: [unknown, RegExp][] = [
    [undefined, /reply is missing, expected a list/],
    [{ modelName: 'sleep' }, /reply is \{"modelName":"sleep"\}, expected a list/],
    [[1], /reply\[0\] is 1, expected an object/],
    [[{ ...version, modelName: undefined }], /reply\[0\]: modelName is missing, expected a string/],
    [[{ ...version, minWorkers: '1' }], /minWorkers is "1", expected a number/],
    [[{ ...version, workers: {} }], /workers is \{\}, expected a list/],
    [[{ ...version, workers: [{ id: 9000 }] }], /workers\[0\]: id is 9000, expected a string/],
    [[{ ...version, stateful: 'no' }], /stateful is "no", expected true or false/],
    [[{ ...version, jobQueueStatus: {} }], /jobQueueStatus: pendingRequests is missing/],
    [[{ ...version, jobQueueStatus: [] }], /jobQueueStatus is \[\], expected an object/],
    [[{ ...version, modelName: ['x'.repeat(500)] }], /modelName is \["x{98}, expected/],
  ]
  for (const [reply, message] of cases) {
    t.throws(() => readDescriptions(reply, asked), { code: 'TORCHSERVE_NOT_TORCHSERVE', message })
  }
  t.throws(() => readDescriptions(1, asked), { message: /^Description of model sleep: / })
  t.end()
})
