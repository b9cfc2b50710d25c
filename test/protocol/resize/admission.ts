/** What a cluster does not allow although it is valid: quotas, ranges, the node, rights and Stoker's policy. */
import {
  MiB,
  agentIn,
  burstable,
  conditionsOf,
  container,
  memory,
  read,
  resize,
  to,
} from './calls.ts'
import type { Case } from './target.ts'

const shape = {
  containers: [container('torchserve', { cpu: '1', memory: '2Gi' }, { cpu: '2', memory: '4Gi' })],
}
const change = (cpu: string | undefined, amount: string | undefined) =>
  to({ torchserve: { limits: { ...(cpu && { cpu }), ...(amount && { memory: amount }) } } })

/** Kubernetes' cases of quotas and limit ranges: too much cpu, too much memory, too much of both. */
const AMOUNTS: readonly [string, string | undefined, string | undefined][] = [
  ['cpu', '3', undefined],
  ['memory', undefined, '5Gi'],
  ['cpu and memory', '3', '5Gi'],
]

const quotas: Case = {
  name: 'pod-resize-resource-quota-test: valid and exceeding resizes',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, shape)
    await target.quota(namespace, {
      hard: { 'limits.cpu': '2500m', 'limits.memory': '4608Mi' },
      used: { 'limits.cpu': '2', 'limits.memory': '4Gi' },
    })
    for (const [what, cpu, amount] of AMOUNTS) {
      const answer = await resize(target, pod, change(cpu, amount))
      t.equal(answer.status, 403, `${what}: ${answer.message}`)
      t.equal(answer.reason, 'Forbidden')
      const said = [
        ...(cpu ? ['limits.cpu=1'] : []),
        ...(amount ? ['limits.memory=1Gi'] : []),
      ].join(',')
      t.ok(answer.message.includes(`exceeded quota: q, requested: ${said}, used: `), answer.message)
      const dry = await resize(target, pod, change(cpu, amount), { query: '?dryRun=All' })
      t.equal(dry.status, 403, `${what}: a dry run as well`)
    }
    const valid = await resize(target, pod, to({ torchserve: memory('3Gi', '4608Mi') }))
    t.equal(valid.status, 200, valid.message)
    t.equal((await resize(target, pod, {})).status, 200, 'looking is no matter of quotas')
  },
}

const ranges: Case = {
  name: 'pod-resize-limit-ranger-test: above the maximum and below the minimum',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, shape)
    await target.limit(namespace, {
      max: { cpu: '2500m', memory: '4608Mi' },
      min: { cpu: '50m', memory: '50Mi' },
    })
    for (const [what, cpu, amount] of AMOUNTS) {
      const answer = await resize(target, pod, change(cpu, amount))
      t.equal(answer.status, 403, `${what}: ${answer.message}`)
      if (cpu) t.match(answer.message, 'maximum cpu usage per Container is 2500m, but limit is 3')
      if (amount) {
        t.match(answer.message, 'maximum memory usage per Container is 4608Mi, but limit is 5Gi')
      }
    }
    const low = await resize(
      target,
      pod,
      to({ torchserve: { requests: { cpu: '10m', memory: '10Mi' } } }),
    )
    t.equal(low.status, 403, low.message)
    t.match(low.message, 'minimum memory usage per Container is 50Mi, but request is 10Mi')
    t.match(low.message, 'minimum cpu usage per Container is 50m, but request is 10m')
    const valid = await resize(target, pod, to({ torchserve: memory('3Gi', '4608Mi') }))
    t.equal(valid.status, 200, valid.message)
  },
}

const least: Case = {
  name: 'a refusal tells the least that a limit range allows, of the pod or of a container',
  run: async (t, target, namespace) => {
    const limitBytes = 4096 * MiB
    const whole = await target.create(namespace, burstable)
    const alone = await target.create(namespace, { ...burstable, name: 'alone', sidecars: [] })
    // The agent, which is a container of the pod, asks for 64 MiB.
    const floors = [
      { type: 'Pod', pod: whole, min: '1536Mi', floorMib: 1536 - 64 },
      { type: 'Container', pod: alone, min: '1600Mi', floorMib: 1600 },
    ] as const
    for (const { type, pod, min, floorMib } of floors) {
      const range = { type, max: { memory: '16Gi' }, min: { memory: min } }
      await target.limit(namespace, range)
      const { kubernetes } = await agentIn(t, target, pod)
      const requestBytes = floorMib * MiB
      await t.rejects(kubernetes.resize({ requestBytes: requestBytes - MiB, limitBytes }), {
        code: 'RESIZE_LIMIT_RANGE',
        floor: { requestBytes, limitBytes: undefined },
      })
      const { container: now } = await kubernetes.resize({ requestBytes, limitBytes })
      t.equal(now.desired.requestBytes, requestBytes, 'and so much is granted')
    }
  },
}

const outgrown: Case = {
  name: 'a pod that a later limit range forbids cannot even be looked at',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, shape)
    await target.limit(namespace, { max: { memory: '1Gi' } })
    const answer = await resize(target, pod, {})
    t.equal(answer.status, 403, answer.message)
    t.match(answer.message, 'maximum memory usage per Container is 1Gi, but limit is 4Gi')
  },
}

const capacity: Case = {
  name: 'what the node could never hold is refused, whatever else runs there',
  since: '1.36',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await target.create(namespace, { name: 'neighbour', ...shape })
    const over = await resize(target, pod, to({ torchserve: memory('17Gi', '20Gi') }))
    t.equal(over.status, 403, over.message)
    t.match(
      over.message,
      /node didn't have enough allocatable resources: memory, requested: 18320719872, allocatable: 17179869184/,
    )
    t.strictSame(over.causes, [{ reason: 'NodeCapacity' }])
    t.equal((await read(target, pod)).metadata.generation, 1, 'nothing is wished for')
    const limit = await resize(target, pod, to({ torchserve: memory('3Gi', '64Gi') }))
    t.equal(limit.status, 200, 'a limit may be larger than the node')
    const beside = await resize(target, pod, to({ torchserve: memory('15Gi', '64Gi') }))
    t.equal(beside.status, 200, 'what its neighbours have is not looked at')
  },
}

const nowhere: Case = {
  name: 'a node that is not known any more',
  since: '1.36',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, { ...burstable, node: 'gone' })
    const answer = await resize(target, pod, to({ torchserve: memory('3Gi') }))
    t.equal(answer.status, 403)
    t.match(answer.message, /node "gone" not found/)
    t.equal((await resize(target, pod, {})).status, 200, 'looking is allowed')
  },
}

const unscheduled: Case = {
  name: 'before it is scheduled, and before its status is known, a pod can be resized',
  run: async (t, target, namespace) => {
    const unplaced = await target.create(namespace, { ...burstable, name: 'unplaced', node: null })
    const unseen = await target.create(namespace, {
      ...burstable,
      name: 'unseen',
      node: 'elsewhere',
      report: 'absent',
    })
    t.equal((await resize(target, unplaced, to({ torchserve: memory('3Gi') }))).status, 200)
    t.equal((await resize(target, unseen, {})).status, 200)
  },
}

const policy: Case = {
  name: 'the agent’s token: its own pod, its own container, memory, up to the cap',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const other = await target.create(namespace, { ...burstable, name: 'other' })
    const token = await target.tokenOf(pod)
    const rows: readonly [string, typeof pod, unknown, RegExp?][] = [
      ['nothing', pod, {}],
      ['a raise to the cap', pod, to({ torchserve: memory('3Gi', '8192Mi') })],
      ['above the cap', pod, to({ torchserve: memory('3Gi', '8193Mi') }), /max-memory: 8Gi/],
      ['cpu', pod, to({ torchserve: { requests: { cpu: '500m' } } }), /only memory may be/],
      ['another pod', other, to({ torchserve: memory('3Gi') }), /may only resize itself/],
      ['another pod, nothing', other, {}, /may only resize itself/],
      [
        'the agent itself',
        pod,
        {
          spec: {
            initContainers: [{ name: 'agent', resources: { limits: { memory: '96Mi' } } }],
          },
        },
        /only the container named by annotation/,
      ],
    ]
    for (const [what, which, body, refusal] of rows) {
      const answer = await resize(target, which, body, { token })
      t.equal(answer.status, refusal ? 403 : 200, `${what}: ${answer.message}`)
      if (refusal) t.match(answer.message, refusal, what)
      if (refusal) t.match(answer.message, /ValidatingAdmissionPolicy 'stoker-resize-own-pod'/)
    }
  },
}

const meanings: Case = {
  name: 'one status, many meanings: the node, a quota, rights and the policy',
  since: '1.36',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const token = await target.tokenOf(pod)
    const huge = to({ torchserve: memory('17Gi', '20Gi') })
    const both = await resize(target, pod, huge, { token })
    t.strictSame(both.causes, [{ reason: 'NodeCapacity' }], 'the node speaks before the policy')
    await target.quota(namespace, {
      hard: { 'requests.memory': '3Gi' },
      used: { 'requests.memory': '2112Mi' },
    })
    const over = await resize(target, pod, to({ torchserve: memory('4Gi') }), { token })
    t.match(over.message, /exceeded quota: q, requested: requests.memory=2Gi, /)
    t.strictSame(over.causes, [])
    const capped = await resize(target, pod, to({ torchserve: memory('4Gi', '9Gi') }), { token })
    t.match(capped.message, /ValidatingAdmissionPolicy '/, 'the policy speaks before the quota')
    const foreign = await resize(target, { namespace: 'kube-system', name: 'x' }, {}, { token })
    t.equal(foreign.status, 403)
    t.match(foreign.message, /User "system:serviceaccount:.*" cannot patch resource "pods\/resize"/)
    const reading = await resize(target, pod, undefined, { method: 'GET', token })
    t.equal(reading.status, 403)
    t.match(reading.message, /cannot get resource "pods\/resize"/)
    t.equal((await resize(target, pod, {}, { token: 'none' })).status, 401)
    t.strictSame(conditionsOf(await read(target, pod)), [])
  },
}

export const admission: readonly Case[] = [
  quotas,
  ranges,
  least,
  outgrown,
  capacity,
  nowhere,
  unscheduled,
  policy,
  meanings,
]
