/** Every recorded exchange with a real API server (1.36.3), sent to the emulated one: the same status, reason, causes and words. */
import t from 'tap'
import { admin } from '../../../src/simulate/kubernetes/access.ts'
import {
  Cluster,
  type ContainerShape,
  type PodShape,
} from '../../../src/simulate/kubernetes/cluster.ts'
import type { Pod } from '../../../src/simulate/kubernetes/objects.ts'
import type { Response } from '../../../src/simulate/kubernetes/status.ts'
import { virtualClock } from '../../../src/simulate/clock.ts'
import { capture, type Capture } from '../../captures.ts'

type Setup = (cluster: Cluster, pod: PodShape) => Partial<PodShape> | void

const small = { cpu: '50m', memory: '64Mi' }
const agent: ContainerShape = { name: 'agent', requests: small, limits: { memory: '64Mi' } }
const torchserve = (requests: string, limits?: string): ContainerShape => ({
  name: 'torchserve',
  requests: { cpu: '1', memory: requests },
  ...(limits && { limits: { memory: limits } }),
})
const both = (requests: string, limits?: string) => ({
  containers: [torchserve(requests, limits), agent],
})
const setup = { name: 'setup', requests: { memory: '64Mi' }, limits: { memory: '64Mi' } }
const withInit = {
  containers: [torchserve('2Gi', '4Gi')],
  sidecars: [agent],
  initContainers: [setup],
}
const policed = (requests = '2Gi', limits: string | undefined = '4Gi') => ({
  annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': '8Gi' },
  containers: [torchserve(requests, limits), { ...agent, name: 'other' }],
  sidecars: [agent],
})
const besteffort = { containers: [{ name: 'torchserve' }] }
const guaranteed = {
  containers: [
    {
      name: 'torchserve',
      requests: { cpu: '1', memory: '2Gi' },
      limits: { cpu: '1', memory: '2Gi' },
    },
  ],
}
const podLevel = {
  ...withInit,
  resources: { requests: { memory: '3Gi' }, limits: { memory: '5Gi' } },
}
const ranged: Setup = cluster => {
  cluster.api.namespace('t1q').limitRanges.push({
    type: 'Container',
    max: { memory: '8Gi' },
    min: { memory: '32Mi' },
  })
}
/** There the use was counted before the last raise; here it is always counted. */
const quota: Setup = cluster => {
  const hard = { 'requests.memory': '3Gi', 'limits.memory': '6Gi' }
  cluster.api.namespace('t1q').quotas.push({ name: 'q', hard })
  return both('2500Mi', '5Gi')
}
const withoutUse = (status: unknown) =>
  JSON.parse(JSON.stringify(status).replaceAll(/used: .*, limited/g, 'used: …, limited'))

const refused: Record<string, Setup | Partial<PodShape>> = {
  '12-merge-patch-array': {},
  '16-object-as-application-json': {},
  '19-unknown-container-strategic': {},
  '31-uid-mismatch': {},
  '32-uid-mismatch-noop': {},
  '33-rv-stale': {},
  '36-gone-404': {},
  '40-qos-become-guaranteed': {
    containers: [torchserve('2Gi', '4Gi'), { ...agent, limits: { memory: '64Mi' } }],
  },
  '41-guaranteed-limit-only': guaranteed,
  '43-besteffort-add': besteffort,
  '44-remove-limit-null': {},
  '46-other-resource': {},
  '47-gpu-change': {},
  '48-resizepolicy-change': {},
  '50-request-above-limit': {},
  '52-bad-quantity': {},
  '53-negative': {},
  '55-bad-json': {},
  '60-node-without-support': { report: 'silent' },
  '61-node-without-support-noop': { report: 'silent' },
  '70-node-capacity': {},
  '71-node-capacity-dryrun': {},
  '74-node-not-found': { node: 'ghost' },
  '76-windows-node': cluster => {
    cluster.api.nodes.set('n3', { allocatable: { memory: '16Gi' }, os: 'windows' })
    return { node: 'n3' }
  },
  '90-limitrange-max': ranged,
  '91-limitrange-min': ranged,
  '93-quota-exceeded': quota,
  '94-quota-exceeded-dryrun': quota,
  '103-plain-init-resize': { ...withInit, node: 'n1' },
  '104-strict-unknown-field': {},
  '111-pod-level-container-raise-above-pod': podLevel,
  '112-pod-level-resize': podLevel,
  '114-mirror-resize': { annotations: { 'kubernetes.io/config.mirror': 'x' } },
  '119-kind-gvk-metadata-name-mismatch': {},
  '237-bad-token': {},
  '238-own-gone': {},
}

/** Refusals by Stoker’s policy and by rights: who asks, and the pod. */
const denied: Record<string, ['own' | 'other' | 'unbound', Partial<PodShape>]> = {
  '204-other-pod-same-sa': ['other', policed()],
  '205-other-pod-noop': ['other', policed()],
  '206-unbound-token': ['unbound', policed()],
  '207-other-container': ['own', policed()],
  '208-own-sidecar': ['own', policed()],
  '209-above-cap-limit': ['own', policed()],
  '210-above-cap-request-nolimit': ['own', policed('2Gi', '')],
  '212-missing-annotations': ['own', { ...policed(), annotations: {} }],
  '214-bad-cap': [
    'own',
    {
      ...policed(),
      annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': 'lots' },
    },
  ],
  '215-cpu-change': ['own', policed()],
  '216-cpu-limit-with-memory': ['own', policed()],
  '221-tamper-then-above': ['own', policed()],
  '224-both-containers': ['own', policed()],
  '235-rbac-no-resize': ['own', policed()],
  '236-rbac-404-vs-403-foreign-ns': ['own', policed()],
  '239-invalid-on-foreign': ['other', policed()],
  '240-above-cap-and-node': ['own', policed()],
  '250-podlevel-own-token': ['own', { ...podLevel, ...policed(), node: 'declaring' }],
  '253-init-own-token': ['own', { ...policed(), initContainers: [setup], node: 'declaring' }],
}

/** Changes that are granted, from the resources they started with. */
const granted: Record<string, Partial<PodShape>> = {
  '11-strategic-raise': {},
  '26-dryrun-raise': both('3Gi', '6Gi'),
  '28-raise-on-unscheduled-pod': {
    containers: [{ name: 'torchserve', requests: { memory: '1Gi' }, limits: { memory: '1Gi' } }],
    node: null,
  },
  '42-guaranteed-both': guaranteed,
  '45-remove-request-null': {},
  '62-decrease-limit': {
    containers: [{ ...torchserve('2500m', '4Gi'), limits: { cpu: '2', memory: '4Gi' } }, agent],
  },
  '72-limit-over-allocatable-request-under': {},
  '77-fits-node-alone-but-not-with-others': both('2Gi', '64Gi'),
  '102-sidecar-resize': withInit,
  '106-add-memory-limit': { containers: [torchserve('2Gi')] },
  '110-pod-level-container-raise-within': podLevel,
  '115-scheduled-no-status': {
    report: 'absent',
    containers: [{ name: 'torchserve', requests: { memory: '1Gi' }, limits: { memory: '2Gi' } }],
  },
  '118-generation-in-reply': {
    containers: [torchserve('2Gi', '4Gi')],
    sidecars: [agent],
    initContainers: [setup],
  },
}

/** Nothing is written. */
const unchanged = [
  '20-noop-sm',
  '20-noop-mp',
  '22-same-values',
  '23-same-values-other-notation',
  '24-noop-dryrun',
  '27-noop-on-unscheduled-pod',
  '81-terminating-noop',
]
/** Nothing is changed, but who sent it is written down. */
const dropped = [
  '49-image-change',
  '98-status-tamper',
  '101-noop-status-body',
  '101b-noop-annotations-body',
]

/** Sends the recorded request to a cluster in which its pod is of this shape. */
async function replayed(
  recorded: Capture,
  given: Setup | Partial<PodShape>,
  as: 'admin' | 'own' | 'other' | 'unbound' | 'nobody' = 'admin',
) {
  const clock = virtualClock(Date.parse('2026-11-24T05:36:09Z'))
  const cluster = new Cluster({ clock, kubelet: 'none' })
  const allocatable = { cpu: '8', memory: '16Gi' }
  cluster.api.nodes.set('n1', { allocatable, os: 'linux' })
  const declaredFeatures = [
    'InPlacePodVerticalScalingInitContainers',
    'InPlacePodLevelResourcesVerticalScaling',
  ]
  cluster.api.nodes.set('declaring', { allocatable, os: 'linux', declaredFeatures })
  const { request } = recorded
  const [, namespace = '', name = ''] =
    /namespaces\/([^/]+)\/pods\/([^/]+)/.exec(request.path) ?? []
  const base: PodShape = { name, namespace, node: 'n1', ...both('2Gi', '4Gi') }
  const shape = { ...base, ...(typeof given === 'function' ? given(cluster, base) : given) }
  const missing = recorded.status === 404
  if (!missing) cluster.create(shape)
  const user = /User "([^"]+)"/.exec(String(Object(recorded.response).message))?.[1]
  if (user) cluster.api.access.rights.clear()
  const { access } = cluster.api
  const tokens = {
    admin: () => access.issue(admin),
    own: () => (user ? access.issue({ user }) : access.issueFor(cluster.pod(name, namespace))),
    other: () => access.issueFor(cluster.create({ ...base, name: 'other' })),
    unbound: () => access.issue({ user: `system:serviceaccount:${namespace}:default` }),
    nobody: () => 'not-a-token',
  }
  const body = typeof request.body === 'string' ? request.body : JSON.stringify(request.body)
  const before = missing ? undefined : cluster.pod(name, namespace)
  const answer = await clock.until(
    cluster.api.handle({
      method: request.method,
      target: request.path,
      headers: {
        authorization: `Bearer ${tokens[as]()}`,
        'content-type': request.contentType ?? undefined,
      },
      body: body.replace('50364056-1a13-48da-b5a7-7f2ae2509631', before?.metadata.uid ?? ''),
    }),
  )
  cluster.close()
  return { answer: answer as Response, before }
}

const podIn = ({ body }: Response) => body as Pod
const resourcesIn = ({ spec }: Pod) =>
  [...spec.containers, ...(spec.initContainers ?? [])].map(({ name, resources }) => ({
    name,
    resources,
  }))

t.test('refusals', async t => {
  for (const [name, given] of Object.entries(refused)) {
    const recorded = capture(`apiserver/${name}`)
    const { answer } = await replayed(
      recorded,
      given,
      name.includes('bad-token') ? 'nobody' : 'admin',
    )
    t.equal(answer.status, recorded.status, `${name}: status`)
    t.strictSame(withoutUse(answer.body), withoutUse(recorded.response), name)
  }
})

t.test('refusals by the policy, and by rights', async t => {
  for (const [name, [as, given]] of Object.entries(denied)) {
    const recorded = capture(`apiserver/${name}`)
    const { answer } = await replayed(recorded, given, as)
    t.equal(answer.status, recorded.status, `${name}: status`)
    t.strictSame(answer.body, recorded.response, name)
  }
})

t.test('changes', async t => {
  for (const [name, given] of Object.entries(granted)) {
    const recorded = capture(`apiserver/${name}`)
    const { answer, before } = await replayed(recorded, given)
    t.equal(answer.status, 200, `${name}: status`)
    const pod = podIn(answer)
    t.strictSame(resourcesIn(pod), resourcesIn(recorded.response as Pod), name)
    t.equal(pod.metadata.generation, Number(before?.metadata.generation) + 1, `${name}: generation`)
    t.equal(
      pod.status.observedGeneration,
      before?.status.observedGeneration,
      `${name}: not seen yet`,
    )
    t.equal(pod.status.qosClass, (recorded.response as Pod).status.qosClass, `${name}: QoS`)
  }
})

t.test('what changes nothing is not written', async t => {
  for (const name of unchanged) {
    const recorded = capture(`apiserver/${name}`)
    const pod = recorded.response as Pod
    const given = {
      containers: pod.spec.containers.map(
        ({ name: container, resources: { requests, limits } }) => ({
          name: container,
          ...(requests && { requests }),
          ...(limits && { limits }),
        }),
      ),
      ...(pod.spec.nodeName === undefined && { node: null }),
    }
    const { answer, before } = await replayed(recorded, given)
    t.equal(answer.status, 200, `${name}: status`)
    t.strictSame(podIn(answer), before, name)
  }
})

t.test('what is left out of a resize leaves its sender', async t => {
  for (const name of dropped) {
    const recorded = capture(`apiserver/${name}`)
    const { answer, before } = await replayed(recorded, {})
    const pod = podIn(answer)
    t.equal(answer.status, 200, `${name}: status`)
    t.strictSame(pod.spec, before?.spec, name)
    t.equal(pod.metadata.generation, before?.metadata.generation, `${name}: generation`)
    t.not(pod.metadata.resourceVersion, before?.metadata.resourceVersion, `${name}: is written`)
    t.match(pod.metadata.managedFields.at(-1), { manager: 'unknown', subresource: 'resize' })
  }
})

t.test('annotations cannot be changed through a resize', async t => {
  const recorded = capture('apiserver/97-annotation-tamper')
  const { answer } = await replayed(recorded, policed())
  t.match(podIn(answer).metadata.annotations, { 'stoker.dev/max-memory': '8Gi' })
  t.strictSame(podIn(answer).spec.containers[0]?.resources.limits, { memory: '5Gi' })
})

t.test('an unknown field is warned of, or said nothing of, unless Strict is asked for', async t => {
  const recorded = capture('apiserver/105-warn-unknown-field')
  const { answer } = await replayed(recorded, {})
  t.equal(answer.headers?.['warning'], '299 - "unknown field \\"spec.nosuch\\""')
})
