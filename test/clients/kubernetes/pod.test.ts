import { readFileSync } from 'node:fs'
import t from 'tap'
import { podState } from '../../../src/clients/kubernetes/pod.ts'
import { capture } from '../../captures.ts'

const MiB = 2 ** 20

/** A pod that a real kubelet has written its status to. */
function recorded(name: string): Record<string, unknown> {
  const file = new URL(`../../captures/kubelet/${name}.pod.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8'))
}

const read = (name: string, container = 'main') => podState(recorded(name), container, 'PATCH x')

t.test('a raise that is done', async t => {
  t.match(read('01-raise'), {
    uid: '03a5f1e3-5543-4235-aaab-38a7866fa216',
    generation: 2,
    observedGeneration: 2,
    terminating: false,
    phase: 'Running',
    qosClass: 'Burstable',
    container: {
      desired: { requestBytes: 300 * MiB, limitBytes: 400 * MiB },
      allocatedRequestBytes: 300 * MiB,
      actual: { requestBytes: 300 * MiB, limitBytes: 400 * MiB },
      running: true,
      restartCount: 0,
      lastTermination: undefined,
      restartsOnResize: false,
    },
    pending: undefined,
    inProgress: undefined,
    podLimitBytes: 464 * MiB,
    peers: [],
  })
})

t.test('what was wished, accepted and done, while a raise is deferred', async t => {
  t.match(read('11-deferred'), {
    container: {
      desired: { requestBytes: 2048 * MiB, limitBytes: 2500 * MiB },
      allocatedRequestBytes: 100 * MiB,
      actual: { requestBytes: 100 * MiB, limitBytes: 2500 * MiB },
    },
    pending: {
      excessBytes: 2181038080 + 2147483648 - 3696820224,
      reason: 'Deferred',
      message: /Node didn't have enough resource/,
      observedGeneration: 29,
    },
    inProgress: undefined,
  })
})

t.test('a refused decrease: accepted, not done', async t => {
  t.match(read('06-lower-below-usage-stats-fresh'), {
    container: {
      desired: { requestBytes: 100 * MiB, limitBytes: 150 * MiB },
      allocatedRequestBytes: 100 * MiB,
      actual: { requestBytes: 200 * MiB, limitBytes: 300 * MiB },
    },
    pending: undefined,
    inProgress: {
      reason: 'Error',
      message: /cannot decrease memory limits/,
      observedGeneration: 27,
    },
  })
})

t.test('a container that was killed for its memory, and whose pod was left behind', async t => {
  const pod = read('33-resize-during-backoff')
  t.match(pod.container, {
    actual: { limitBytes: 500 * MiB },
    restartCount: 2,
    lastTermination: {
      reason: 'OOMKilled',
      exitCode: 137,
      finishedAtMs: Date.parse('2026-11-24T05:47:20Z'),
    },
  })
  t.equal(pod.podLimitBytes, 396 * MiB, 'less than 500 MiB and the sidecar’s 96 MiB')
})

t.test('who else wrote the container’s memory', async t => {
  t.match(read('21-p3-after-token-resize').peers, [{ name: 'curl', wroteAtMs: Number }])
  const pod = recorded('01-raise')
  const metadata = { ...Object(pod['metadata']), annotations: { vpaObservedContainers: 'main' } }
  t.strictSame(podState({ ...pod, metadata }, 'main', 'x').peers, [
    { name: 'vertical-pod-autoscaler', wroteAtMs: undefined },
  ])
})

t.test('terminating, with a policy of restarting, and without any status', async t => {
  const of = (name: string) =>
    podState(capture(`apiserver/${name}`).response, 'torchserve', 'PATCH x')
  t.equal(of('80-terminating-raise').terminating, true)
  t.equal(of('107-restartcontainer-policy').container.restartsOnResize, true)
  t.match(of('28-raise-on-unscheduled-pod'), {
    observedGeneration: undefined,
    container: {
      running: false,
      actual: undefined,
      allocatedRequestBytes: undefined,
    },
  })
})

t.test('a pod from before Kubernetes 1.33 has no generation until it is changed', async t => {
  const { metadata, status, ...rest } = recorded('01-raise')
  const { generation: _, ...old } = Object(metadata)
  const { observedGeneration: __, ...seen } = Object(status)
  const pod = podState({ ...rest, metadata: old, status: seen }, 'main', 'x')
  t.match(pod, { generation: 0, observedGeneration: undefined })
})

t.test('an amount that cannot be understood is no missing amount', async t => {
  const pod = JSON.parse(JSON.stringify(recorded('01-raise')).replaceAll('400Mi', 'lots'))
  t.throws(() => podState(pod, 'main', 'x'), {
    code: 'KUBERNETES_NOT_KUBERNETES',
    message: /resources\.limits\.memory is "lots"/,
  })
})
