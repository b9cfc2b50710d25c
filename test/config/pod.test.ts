import t from 'tap'
import { parseConfig, policyFor } from '../../src/config.ts'

const pod = {
  KUBERNETES_SERVICE_HOST: 'fd00::1',
  KUBERNETES_SERVICE_PORT: '6443',
  STOKER_POD_NAME: 'resnet-7f',
  STOKER_POD_NAMESPACE: 'serving',
  STOKER_POD_UID: '0b9a-1',
  STOKER_CONTAINER: 'torchserve',
}

t.test('the pod and its memory', async t => {
  const config = parseConfig({
    ...pod,
    STOKER_MAX_MEMORY: '16Gi',
    STOKER_MIN_MEMORY: '512Mi',
    STOKER_MEMORY_LIMIT: 'keep',
    STOKER_WORKER_MEMORY: '1.5Gi',
    STOKER_MODELS: '{"small": {"workerMemory": "100M"}}',
  })
  t.match(config.pod, {
    host: 'fd00::1',
    port: 6443,
    namespace: 'serving',
    pod: 'resnet-7f',
    uid: '0b9a-1',
    container: 'torchserve',
    tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    caFile: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
  })
  t.same(config.memory, {
    maxMemory: 16 * 2 ** 30,
    minMemory: 512 * 2 ** 20,
    memoryLimit: 'keep',
    inPod: true,
  })
  t.equal(policyFor(config, 'any').workerMemory, 1.5 * 2 ** 30)
  t.equal(policyFor(config, 'small').workerMemory, 100e6)
})

t.test('the pod is known wholly or not at all', async t => {
  const { STOKER_POD_UID: _, ...part } = pod
  t.throws(() => parseConfig(part), /STOKER_POD_UID must be set, too/)
  t.throws(
    () => parseConfig({ STOKER_MAX_MEMORY: '1Gi' }),
    /STOKER_MAX_MEMORY="1Gi" needs STOKER_POD_NAME/,
  )
  t.throws(
    () => parseConfig({ STOKER_DELETION_COST: 'write' }),
    /STOKER_DELETION_COST=write needs STOKER_POD_NAME, /,
  )
  const { KUBERNETES_SERVICE_HOST: _host, ...outside } = pod
  t.throws(() => parseConfig(outside), /KUBERNETES_SERVICE_HOST is not/)
  t.throws(
    () => parseConfig({ ...pod, STOKER_MAX_MEMORY: '1Gi', STOKER_MIN_MEMORY: '1025Mi' }),
    /STOKER_MIN_MEMORY="1025Mi" must not be above STOKER_MAX_MEMORY="1Gi"/,
  )
  for (const wrong of ['16GB', '0', '-1Gi', 'lots', '1 Gi']) {
    t.throws(
      () => parseConfig({ ...pod, STOKER_MAX_MEMORY: wrong }),
      /STOKER_MAX_MEMORY=".*" must be an amount of memory, as 512Mi or 2Gi/,
      wrong,
    )
  }
})
