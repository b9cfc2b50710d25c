import t from 'tap'
import { parseConfig, policyFor } from '../../src/config.ts'

const pod = {
  STOKER_POD_NAME: 'serve-7d9f',
  STOKER_POD_NAMESPACE: 'models',
  STOKER_POD_UID: '7d9f',
  STOKER_CONTAINER: 'torchserve',
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
}

t.test('every setting about GPUs is read, amounts in bytes', async t => {
  const config = parseConfig({
    ...pod,
    STOKER_DCGM_URL: 'http://10.0.0.7:9400',
    STOKER_GPU_COUNT: '2',
    STOKER_GPU_MEMORY: '40Gi',
    STOKER_GPU_SHARING: 'time-slicing',
    STOKER_GPU_WORKER_MEMORY: '1868Mi',
    STOKER_GPU_MEMORY_UNKNOWN: 'grow',
    STOKER_MODELS: '{"bert": {"gpuWorkerMemory": "3Gi"}, "llm": {"gpuMemoryUnknown": "hold"}}',
  })
  t.equal(config.dcgmUrl?.href, 'http://10.0.0.7:9400/')
  t.same(config.gpu, { count: 2, memory: 40 * 2 ** 30, sharing: 'time-slicing' })
  const all = { gpuWorkerMemory: 1_868 * 2 ** 20, gpuMemoryUnknown: 'grow' }
  t.match(policyFor(config, 'resnet'), all)
  t.match(policyFor(config, 'bert'), { ...all, gpuWorkerMemory: 3 * 2 ** 30 })
  t.match(policyFor(config, 'llm'), { ...all, gpuMemoryUnknown: 'hold' })
})

t.test('without them growth waits for what is seen', async t => {
  const config = parseConfig({})
  t.same(config.gpu, { count: undefined, memory: undefined, sharing: 'auto' })
  t.equal(config.dcgmUrl, undefined)
  t.match(config.defaults, { gpuWorkerMemory: undefined, gpuMemoryUnknown: 'hold' })
})

t.test('dcgm-exporter is of no use without knowing which pod is ours', async t => {
  const dcgm = { STOKER_DCGM_URL: 'http://10.0.0.7:9400' }
  t.throws(
    () => parseConfig(dcgm),
    /STOKER_DCGM_URL needs STOKER_POD_NAME, .*STOKER_CONTAINER, which say whose rows/,
  )
  t.throws(
    () => parseConfig({ STOKER_GPU_WORKER_MEMORY: '1.5 GB' }),
    /STOKER_GPU_WORKER_MEMORY="1.5 GB" must be an amount of memory/,
  )
})
