/** What the API server takes and what it refuses whoever asks: no kubelet has a part in it. */
import { burstable, container, guaranteed, memory, read, resize, resourcesOf, to } from './calls.ts'
import type { Case, Shape } from './target.ts'

interface Row {
  name: string
  shape?: Shape
  body: unknown
  /** From this version on; before it the row says nothing. */
  refused: RegExp
  status?: number
}

const QOS = /Pod QOS Class may not change as a result of resizing/
const ONLY = /only cpu and memory resources are mutable/
const besteffort = { containers: [container('torchserve', undefined)] }
const requestsOnly = {
  containers: [container('torchserve', { cpu: '1', memory: '2Gi' })],
}

/** Kubernetes' own list of what must be refused (common/node/pod_resize.go), and more. */
const rows: readonly Row[] = [
  {
    name: 'BestEffort pod - try requesting memory',
    shape: besteffort,
    body: to({ torchserve: memory('400Mi', '400Mi') }),
    refused: QOS,
  },
  {
    name: 'BestEffort pod - try requesting CPU',
    shape: besteffort,
    body: to({ torchserve: { requests: { cpu: '1' }, limits: { cpu: '1' } } }),
    refused: QOS,
  },
  {
    name: 'Guaranteed pod - remove cpu & memory limits',
    shape: guaranteed,
    body: to({ torchserve: { limits: { cpu: null, memory: null } } }),
    refused: /resource limits cannot be removed/,
  },
  {
    name: 'Burstable pod - remove cpu & memory limits + increase requests',
    shape: {
      containers: [
        container('torchserve', { cpu: '1', memory: '2Gi' }, { cpu: '2', memory: '4Gi' }),
      ],
    },
    body: to({
      torchserve: {
        requests: { cpu: '2', memory: '3Gi' },
        limits: { cpu: null, memory: null },
      },
    }),
    refused: /resource limits cannot be removed/,
  },
  {
    name: 'Burstable pod - remove memory requests',
    shape: requestsOnly,
    body: to({ torchserve: { requests: { memory: null } } }),
    refused: /resource requests cannot be removed/,
  },
  {
    name: 'Burstable pod - remove cpu requests',
    shape: requestsOnly,
    body: to({ torchserve: { requests: { cpu: null } } }),
    refused: /resource requests cannot be removed/,
  },
  {
    name: 'Burstable pod - set requests == limits',
    shape: {
      containers: [
        container('torchserve', { cpu: '1', memory: '2Gi' }, { cpu: '2', memory: '4Gi' }),
      ],
    },
    body: to({ torchserve: { requests: { cpu: '2', memory: '4Gi' } } }),
    refused: QOS,
  },
  {
    name: 'Burstable pod - resize ephemeral storage',
    body: to({ torchserve: { requests: { 'ephemeral-storage': '1Gi' } } }),
    refused: ONLY,
  },
  {
    name: 'Guaranteed pod - only the limit',
    shape: guaranteed,
    body: to({ torchserve: memory(undefined, '3Gi') }),
    refused: QOS,
  },
  {
    name: 'the number of GPUs',
    body: to({
      torchserve: { requests: { 'nvidia.com/gpu': '1' }, limits: { 'nvidia.com/gpu': '1' } },
    }),
    refused: ONLY,
  },
  {
    name: 'the resize policy',
    body: {
      spec: {
        containers: [
          {
            name: 'torchserve',
            resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
          },
        ],
      },
    },
    refused: ONLY,
  },
  {
    name: 'a container that is not there',
    body: to({ nosuch: memory('1Gi') }),
    refused: /containers may not be added or removed on resize/,
  },
  {
    name: 'a request above the limit',
    body: to({ torchserve: memory('5Gi', '4Gi') }),
    refused: /must be less than or equal to memory limit of 4Gi/,
  },
  {
    name: 'less than nothing',
    body: to({ torchserve: memory('-1') }),
    refused: /must be greater than or equal to 0/,
  },
  {
    name: 'what is no amount',
    body: to({ torchserve: memory('lots') }),
    refused: /quantities must match the regular expression/,
  },
  {
    name: 'a pod on a node without support',
    shape: { ...burstable, node: 'elsewhere', report: 'silent' },
    body: to({ torchserve: memory('3Gi') }),
    refused: /Pod running on node without support for resize/,
  },
  {
    name: 'a pod on a node without support, asked for nothing',
    shape: { ...burstable, node: 'elsewhere', report: 'silent' },
    body: {},
    refused: /Pod running on node without support for resize/,
  },
]

const table: Case[] = rows.map(({ name, shape = burstable, body, refused, status = 422 }) => ({
  name: `refused: ${name}`,
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, shape)
    const before = await read(target, pod)
    const answer = await resize(target, pod, body)
    t.equal(answer.status, status, answer.message)
    t.match(answer.message, refused)
    const after = await read(target, pod)
    t.equal(after.metadata.resourceVersion, before.metadata.resourceVersion, 'nothing is written')
  },
}))

const replaced: Case[] = (
  [
    ['Burstable pod - reorder containers', (list: unknown[]) => list.toReversed()],
    [
      'Burstable pod - rename containers',
      ([first, ...others]: object[]) => [{ ...first, name: 'renamed' }, ...others],
    ],
  ] as const
).map(([name, change]) => ({
  name: `refused: ${name}`,
  run: async (t, target, namespace) => {
    const other = container('other', { memory: '64Mi' })
    const shape = { ...burstable, containers: [...burstable.containers, other] }
    const pod = await target.create(namespace, shape)
    const now = await read(target, pod)
    const containers = change(structuredClone([...now.spec.containers]))
    const body = { ...now, spec: { ...now.spec, containers } }
    const answer = await resize(target, pod, body, { method: 'PUT', type: 'application/json' })
    t.equal(answer.status, 422, answer.message)
    t.match(answer.message, /containers may not be renamed or reordered on resize/)
  },
}))

/** From Kubernetes 1.36 on it depends on what the node's kubelet says it can. */
const plainInit: Case = {
  name: 'Burstable pod - nonrestartable initContainer',
  run: async (t, target, namespace) => {
    const setup = container('setup', { cpu: '50m', memory: '64Mi' })
    const pod = await target.create(namespace, { ...burstable, initContainers: [setup] })
    const resources = memory('96Mi')
    const body = { spec: { initContainers: [{ name: 'setup', resources }] } }
    const answer = await resize(target, pod, body)
    if (target.version < '1.36') {
      t.equal(answer.status, 422, answer.message)
      t.match(answer.message, 'resources for non-sidecar init containers are immutable')
    } else if (answer.status !== 200) {
      t.equal(answer.status, 403)
      t.match(answer.message, 'requires features InPlacePodVerticalScalingInitContainers')
    }
    const now = resourcesOf(await read(target, pod), 'setup').requests?.['memory']
    t.equal(now, answer.status === 200 ? '96Mi' : '64Mi')
    const raised = await resize(target, pod, to({ torchserve: memory('3Gi') }))
    t.equal(raised.status, 200, 'the others of its pod can be changed')
  },
}

const notations: Case = {
  name: 'amounts are stored in one notation for each base; another base is a write, and no change',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const stored = async (requests: string, query = '') => {
      const answer = await resize(target, pod, to({ torchserve: memory(requests) }), { query })
      t.equal(answer.status, 200, answer.message)
      return answer.pod
    }
    const amount = (now: typeof first) => resourcesOf(now, 'torchserve').requests?.['memory']
    const first = await stored('3072Mi')
    t.equal(amount(first), '3Gi')
    t.equal(first.metadata.generation, 2)
    const again = await stored('3Gi')
    t.equal(again.metadata.resourceVersion, first.metadata.resourceVersion, 'nothing is written')
    const bytes = await stored('3221225472', '?fieldManager=another')
    t.equal(amount(bytes), '3221225472')
    t.equal(bytes.metadata.generation, 2, 'no change')
    t.not(bytes.metadata.resourceVersion, first.metadata.resourceVersion, 'but written')
    t.ok(
      bytes.metadata.managedFields.some(({ manager }) => manager === 'another'),
      'and owned',
    )
    t.equal(amount(await stored('2.5')), '2500m')
    t.equal(amount(await stored('3000000000')), '3G')
  },
}

const nothing: Case = {
  name: 'a patch of nothing gives the pod and writes nothing',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const before = await read(target, pod)
    for (const body of [{}, { metadata: { uid: pod.uid } }, to({ torchserve: memory('2Gi') })]) {
      for (const query of ['', '?dryRun=All', '?fieldValidation=Strict&fieldManager=stoker']) {
        const answer = await resize(target, pod, body, { query })
        t.equal(answer.status, 200, answer.message)
        t.strictSame(answer.pod, before, JSON.stringify(body) + query)
      }
    }
  },
}

const forms: Case = {
  name: 'patch forms: only a strategic one leaves the other containers alone',
  run: async (t, target, namespace) => {
    const containers = [...burstable.containers, container('other', { memory: '64Mi' })]
    const pod = await target.create(namespace, { ...burstable, containers })
    const raise = to({ torchserve: memory('3Gi', '5Gi') })
    const merge = await resize(target, pod, raise, { type: 'application/merge-patch+json' })
    t.equal(merge.status, 422, merge.message)
    t.match(merge.message, /image: Required value/)
    t.equal((await resize(target, pod, raise, { type: 'application/json' })).status, 415)
    t.equal((await resize(target, pod, '{"spec":')).status, 400)
    const renamed = await resize(target, pod, { metadata: { name: 'other' } })
    t.equal(renamed.status, 400, renamed.message)
    const raised = await resize(target, pod, raise)
    t.equal(raised.status, 200, raised.message)
    t.equal(raised.pod.metadata.generation, 2)
    t.match(resourcesOf(raised.pod, 'agent'), { limits: { memory: '64Mi' } })
  },
}

const strict: Case = {
  name: 'unknown fields are refused if Strict is asked for, and dropped otherwise',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const body = { spec: { nosuch: 1 } }
    const refused = await resize(target, pod, body, { query: '?fieldValidation=Strict' })
    t.equal(refused.status, 422)
    t.match(refused.message, /strict decoding error: unknown field "spec.nosuch"/)
    t.equal((await resize(target, pod, body)).status, 200)
  },
}

const dropped: Case = {
  name: 'labels, annotations, images and status cannot be changed through a resize',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const before = await read(target, pod)
    const answer = await resize(target, pod, {
      metadata: { annotations: { 'stoker.dev/max-memory': '99Gi' }, labels: { a: 'b' } },
      spec: { containers: [{ name: 'torchserve', image: 'registry.example/other:1' }] },
      status: { phase: 'Failed' },
    })
    t.equal(answer.status, 200, answer.message)
    t.strictSame(answer.pod.metadata.annotations, before.metadata.annotations)
    t.strictSame(answer.pod.metadata.labels, before.metadata.labels)
    t.strictSame(answer.pod.spec, before.spec)
    t.strictSame(answer.pod.status, before.status)
    t.equal(answer.pod.metadata.generation, before.metadata.generation)
  },
}

const nulls: Case = {
  name: 'a request that is taken away becomes the limit',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const answer = await resize(target, pod, to({ torchserve: { requests: { memory: null } } }))
    t.equal(answer.status, 200, answer.message)
    t.equal(resourcesOf(answer.pod, 'torchserve').requests?.['memory'], '4Gi')
  },
}

const rounds: Case = {
  name: 'REPLACE and PATCH are the same, and GET shows it; each change is a generation',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const now = await read(target, pod)
    t.equal(now.metadata.generation, 1)
    const [first, ...others] = now.spec.containers
    const resources = { limits: { memory: '5Gi' }, requests: { cpu: '1', memory: '3Gi' } }
    const spec = { ...now.spec, containers: [{ ...first, resources }, ...others] }
    const put = await resize(
      target,
      pod,
      { ...now, spec },
      { method: 'PUT', type: 'application/json' },
    )
    t.equal(put.status, 200, put.message)
    t.equal(put.pod.metadata.generation, 2)
    t.strictSame(resourcesOf(await read(target, pod), 'torchserve'), resources)
    const patched = await resize(target, pod, to({ torchserve: memory('4Gi', '6Gi') }))
    t.equal(patched.pod.metadata.generation, 3)
    const changed = { limits: { memory: '6Gi' }, requests: { cpu: '1', memory: '4Gi' } }
    const containers = [{ ...first, resources: changed }, ...others]
    t.strictSame((await read(target, pod)).spec, { ...now.spec, containers })
  },
}

export const validation: readonly Case[] = [
  ...table,
  ...replaced,
  plainInit,
  notations,
  nothing,
  forms,
  strict,
  dropped,
  nulls,
  rounds,
]
