/** A node with less than is asked for: what waits, in which order it is served, and what blocks nobody. */
import { limitOf, nodeOf } from './actuation.ts'
import {
  agentIn,
  burstable,
  conditionsOf,
  container,
  done,
  GiB,
  memory,
  read,
  resize,
  resourcesOf,
  said,
  to,
  waitFor,
} from './calls.ts'
import type { Case, PodRef, ResizeTarget, Shape } from './target.ts'

const holding = (requests: string, more: Partial<Shape> = {}): Shape => ({
  ...more,
  containers: [container('torchserve', { cpu: '100m', memory: requests })],
})

/** What the node has left is taken by a pod of its own, but for so much. */
async function filled(target: ResizeTarget, namespace: string, freeGi: number): Promise<PodRef> {
  return target.create(namespace, { ...holding(`${16 - freeGi}Gi`), name: 'filler' })
}

const request = (amount: string) => to({ torchserve: { requests: { memory: amount } } })
const amountOf = (pod: Awaited<ReturnType<typeof read>>) =>
  pod.status.containerStatuses?.[0]?.resources?.requests?.['memory']

const deferred: Case = {
  name: 'pod-resize-scheduler-tests: raised to Deferred, and granted when pods are deleted',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, holding('2Gi'))
    const filler = await filled(target, namespace, 3)
    const answer = await resize(target, pod, request('4Gi'))
    t.equal(answer.status, 200, 'the API server grants it')
    const { message } = await said(target, pod, 'Pending', 'Deferred')
    t.match(
      message,
      /Node didn't have enough resource: memory, requested: 4294967296, used: \d+, capacity: \d+/,
    )
    const waiting = await read(target, pod)
    t.equal(resourcesOf(waiting, 'torchserve').requests?.['memory'], '4Gi', 'wished')
    t.equal(waiting.status.containerStatuses?.[0]?.allocatedResources?.['memory'], '2Gi')
    t.equal(amountOf(waiting), '2Gi')
    // A kubelet may publish the condition a moment earlier than the generation it has seen.
    await waitFor(target, 'it is seen', 5_000, async () => {
      const { status, metadata } = await read(target, pod)
      return status.observedGeneration === metadata.generation
    })
    await target.remove(filler, 2_000)
    t.equal(amountOf(await done(target, pod, 10_000)), '4Gi')
  },
}

/** As the scheduler's own view of it: what was accepted counts, not what is wished for. */
const roomMade: Case = {
  name: 'pod-resize-scheduler-tests: a pod that shrinks makes room for one that did not fit',
  needs: 'node',
  run: async (t, target, namespace) => {
    const first = await target.create(namespace, holding('8Gi', { name: 'first' }))
    const second = await target.create(namespace, holding('6Gi', { name: 'second' }))
    const one = (name: string) => nodeOf(target).admits(namespace, holding('4Gi', { name }))
    t.equal(await one('third'), false, '4 GiB beside 14 of 16')
    await resize(target, second, request('4Gi'))
    await done(target, second)
    t.equal(await one('fourth'), true, 'beside 12')
    t.equal(await one('fifth'), false)
    await resize(target, first, request('4Gi'))
    await done(target, first)
    t.equal(await one('sixth'), true)
  },
}

const reverted: Case = {
  name: 'Deferred then our revert: nobody is blocked any more',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, { ...burstable, name: 'ours' })
    const filler = await filled(target, namespace, 3)
    const { kubernetes } = await agentIn(t, target, pod)
    await kubernetes.resize({ requestBytes: 4 * GiB })
    await said(target, pod, 'Pending', 'Deferred')
    const seen = await kubernetes.read()
    t.match(seen.pending, { reason: 'Deferred', observedGeneration: seen.generation })
    t.equal(seen.container.desired.requestBytes, 4 * GiB)
    t.equal(seen.container.allocatedRequestBytes, 2 * GiB)
    t.equal(seen.container.actual?.requestBytes, 2 * GiB)
    await kubernetes.resize({ requestBytes: 2 * GiB })
    const now = await done(target, pod, 2_000)
    t.strictSame(conditionsOf(now), [])
    await target.remove(filler, 0)
    await target.clock.sleep(5_000)
    t.equal(amountOf(await read(target, pod)), '2Gi', 'and it is not granted later')
  },
}

const late: Case = {
  name: 'Deferred then granted after we gave up: the grant comes before our revert, which then lowers',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, { ...burstable, name: 'ours' })
    const filler = await filled(target, namespace, 3)
    const { kubernetes } = await agentIn(t, target, pod)
    await kubernetes.resize({ requestBytes: 4 * GiB, limitBytes: 6 * GiB })
    await said(target, pod, 'Pending', 'Deferred')
    const given = await kubernetes.read()
    await target.remove(filler, 0)
    await done(target, pod, 5_000)
    t.equal(await limitOf(target, pod), 6 * GiB, 'granted meanwhile')
    const back = { requestBytes: 2 * GiB, limitBytes: 4 * GiB }
    await t.rejects(kubernetes.resize(back, { unchangedSince: given.resourceVersion }), {
      code: 'RESIZE_CONFLICT',
    })
    await kubernetes.resize(back)
    await done(target, pod)
    t.equal(await limitOf(target, pod), 4 * GiB)
  },
}

const limitOnly: Case = {
  name: 'a limit alone is raised on a full node',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await filled(target, namespace, 2.0625)
    await resize(target, pod, to({ torchserve: memory(undefined, '20Gi') }))
    await done(target, pod)
    t.equal(await limitOf(target, pod), 20 * GiB)
  },
}

const ordered: Case = {
  name: 'pod-resize-retry-deferred-test: priority first, then Guaranteed, then who has waited longest',
  needs: 'node',
  run: async (t, target, namespace) => {
    const equal = (name: string): Shape => ({
      name,
      containers: [
        container('torchserve', { cpu: '100m', memory: '1Gi' }, { cpu: '100m', memory: '1Gi' }),
      ],
    })
    const pods = {
      early: await target.create(namespace, holding('1Gi', { name: 'early' })),
      late: await target.create(namespace, holding('1Gi', { name: 'late' })),
      guaranteed: await target.create(namespace, equal('guaranteed')),
      important: await target.create(
        namespace,
        holding('1Gi', { name: 'important', priority: 10 }),
      ),
    }
    const filler = await filled(target, namespace, 4)
    const both = to({ torchserve: memory('3Gi', '3Gi') })
    const asked = [
      [pods.early, request('3Gi')],
      [pods.late, request('3Gi')],
      [pods.guaranteed, both],
      [pods.important, request('3Gi')],
    ] as const
    for (const [pod, body] of asked) {
      t.equal((await resize(target, pod, body)).status, 200)
      await said(target, pod, 'Pending', 'Deferred')
    }
    const served: string[] = []
    for (const left of ['10Gi', '8Gi', '6Gi', '4Gi']) {
      await resize(target, filler, request(left))
      await done(target, filler)
      await target.clock.sleep(500)
      for (const [name, pod] of Object.entries(pods)) {
        if (amountOf(await read(target, pod)) === '3Gi' && !served.includes(name)) served.push(name)
      }
    }
    t.strictSame(served, ['important', 'guaranteed', 'early', 'late'])
  },
}

const chain: Case = {
  name: 'a chain of four: each that shrinks makes room for the next',
  needs: 'node',
  run: async (t, target, namespace) => {
    const names = ['a', 'b', 'c', 'd']
    const pods = await Promise.all(
      names.map(name => target.create(namespace, holding('4Gi', { name }))),
    )
    const [first, ...others] = pods
    if (!first) throw new Error('no pods')
    for (const pod of others) {
      await resize(target, pod, request('5Gi'))
      await said(target, pod, 'Pending', 'Deferred')
    }
    await resize(target, first, request('1Gi'))
    for (const pod of others) t.equal(amountOf(await done(target, pod, 5_000)), '5Gi')
  },
}

const shrinking: Case = {
  name: 'what asks for less never waits, however full the node is',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, holding('4Gi'))
    await filled(target, namespace, 4)
    await resize(target, pod, request('3Gi'))
    t.equal(amountOf(await done(target, pod, 2_000)), '3Gi')
  },
}

const restartedAgent: Case = {
  name: 'agent restart with a resize in flight: a new agent reads all that it needs',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await filled(target, namespace, 3)
    const first = await agentIn(t, target, pod)
    await first.kubernetes.resize({ requestBytes: 4 * GiB })
    await first.kubernetes.close()
    await said(target, pod, 'Pending', 'Deferred')
    const { kubernetes } = await agentIn(t, target, pod)
    t.match(await kubernetes.read(), {
      peers: [],
      pending: { reason: 'Deferred' },
      container: {
        desired: { requestBytes: 4 * GiB, limitBytes: 4 * GiB },
        allocatedRequestBytes: 2 * GiB,
        actual: { requestBytes: 2 * GiB, limitBytes: 4 * GiB },
      },
    })
  },
}

export const waiting: readonly Case[] = [
  deferred,
  roomMade,
  reverted,
  late,
  limitOnly,
  ordered,
  chain,
  shrinking,
  restartedAgent,
]
