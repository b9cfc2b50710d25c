/** Memory in use: decreases that are refused, and containers that are killed for theirs. */
import { nodeOf } from './actuation.ts'
import {
  agentIn,
  burstable,
  conditionsOf,
  done,
  GiB,
  memory,
  MiB,
  read,
  resize,
  said,
  to,
  waitFor,
} from './calls.ts'
import type { Case, PodRef, ResizeTarget } from './target.ts'

const limits = (target: ResizeTarget, pod: PodRef) => nodeOf(target).limits(pod)
const held = (anonBytes: number, fileBytes = 0) => ({ anonBytes, fileBytes })

const slightly: Case = {
  name: 'decrease memory limit slightly, above what is in use',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    nodeOf(target).use(pod, 'torchserve', held(1 * GiB))
    await resize(target, pod, to({ torchserve: memory('2Gi', '3Gi') }))
    const now = await done(target, pod)
    t.equal(limits(target, pod).containers['torchserve'], 3 * GiB)
    t.equal(now.status.containerStatuses?.[0]?.restartCount, 0)
  },
}

const below = (what: string, use: ReturnType<typeof held>): Case => ({
  name: `decrease memory limit below usage (${what}): InProgress without a reason, then Error, never Pending; and back`,
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    nodeOf(target).use(pod, 'torchserve', use)
    await target.clock.sleep(11_000)
    const { kubernetes } = await agentIn(t, target, pod)
    const askedMs = target.clock.now()
    await kubernetes.resize({ requestBytes: 10 * 1024, limitBytes: 10 * 1024 })
    await said(target, pod, 'InProgress', '')
    const silent = await kubernetes.read()
    t.match(silent.inProgress, { reason: '', observedGeneration: silent.generation })
    t.equal(silent.container.allocatedRequestBytes, 10 * 1024, 'accepted, which says nothing')
    t.strictSame(silent.container.actual, { requestBytes: 2 * GiB, limitBytes: 4 * GiB })
    const { message } = await said(target, pod, 'InProgress', 'Error', 25_000)
    const tookMs = target.clock.now() - askedMs
    t.ok(tookMs > 11_000 && tookMs < 20_000, `an error after ${tookMs} ms`)
    t.match(message, /cannot decrease memory limits: .*memory limit \(\d+\) below current usage/)
    t.strictSame(
      conditionsOf(await read(target, pod)).map(({ type }) => type),
      ['PodResizeInProgress'],
    )
    t.equal(limits(target, pod).containers['torchserve'], 4 * GiB, 'the cgroup is as it was')
    await kubernetes.resize({ requestBytes: 2 * GiB, limitBytes: 4 * GiB })
    await done(target, pod, 2_000)
  },
})

const freed: Case = {
  name: 'a refused decrease is made by itself once the memory is free',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    nodeOf(target).use(pod, 'torchserve', held(3 * GiB))
    await target.clock.sleep(11_000)
    await resize(target, pod, to({ torchserve: memory('1Gi', '2Gi') }))
    await said(target, pod, 'InProgress', 'Error', 25_000)
    nodeOf(target).use(pod, 'torchserve', held(1 * GiB))
    await done(target, pod, 40_000)
    t.equal(limits(target, pod).containers['torchserve'], 2 * GiB)
  },
}

const missing: Case = {
  name: '`missing container … memory usage` is transient',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    nodeOf(target).use(pod, 'torchserve', held(1 * GiB))
    nodeOf(target).hideStats(pod, 20_000)
    await resize(target, pod, to({ torchserve: memory('1Gi', '2Gi') }))
    const { message } = await said(target, pod, 'InProgress', 'Error', 25_000)
    t.match(message, /missing pod memory usage, missing container "torchserve" memory usage/)
    await done(target, pod, 40_000)
    t.equal(limits(target, pod).containers['torchserve'], 2 * GiB)
  },
}

const twice: Case = {
  name: 'both conditions at once, each of its own generation: the pending one comes first',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await target.create(namespace, {
      name: 'filler',
      containers: [{ name: 'torchserve', requests: { memory: '13Gi' } }],
    })
    nodeOf(target).use(pod, 'torchserve', held(3 * GiB))
    await target.clock.sleep(11_000)
    const { kubernetes } = await agentIn(t, target, pod)
    await kubernetes.resize({ requestBytes: 1 * GiB, limitBytes: 2 * GiB })
    await said(target, pod, 'InProgress', 'Error', 25_000)
    await kubernetes.resize({ requestBytes: 8 * GiB, limitBytes: 8 * GiB })
    await said(target, pod, 'Pending', 'Deferred')
    const seen = await kubernetes.read()
    t.match(seen.pending, { reason: 'Deferred', observedGeneration: 3 })
    t.match(seen.inProgress, { reason: 'Error', observedGeneration: 2 })
    await kubernetes.resize({ requestBytes: 2 * GiB, limitBytes: 4 * GiB })
    const now = await done(target, pod, 2_000)
    t.strictSame(conditionsOf(now), [], 'both are gone')
  },
}

const midway: Case = {
  name: 'container restarted mid-resize: it starts with what was accepted',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    await resize(target, pod, to({ torchserve: memory('3Gi', '6Gi') }))
    nodeOf(target).kill(pod, 'torchserve', 'Error')
    const now = await waitFor(target, 'it runs again', 5_000, async () => {
      const seen = await read(target, pod)
      return seen.status.containerStatuses?.[0]?.restartCount === 1 && seen
    })
    t.match(now.status.containerStatuses?.[0], {
      lastState: { terminated: { reason: 'Error', exitCode: 137 } },
    })
    await done(target, pod)
    t.equal(limits(target, pod).containers['torchserve'], 6 * GiB)
  },
}

const killed: Case = {
  name: 'OOMKilled then resized while down: done is said, the pod is left behind, killed again, and healed by 1 MiB',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const node = nodeOf(target)
    const { kubernetes } = await agentIn(t, target, pod)
    node.use(pod, 'torchserve', held(5 * GiB))
    const down = await waitFor(target, 'it is killed', 5_000, async () => {
      const seen = await kubernetes.read()
      return !seen.container.running && seen
    })
    t.match(down.container.lastTermination, { reason: 'OOMKilled', exitCode: 137 })
    node.use(pod, 'torchserve', held(1 * GiB))
    await kubernetes.resize({ requestBytes: 4 * GiB, limitBytes: 7 * GiB })
    await done(target, pod, 15_000)
    t.equal(limits(target, pod).containers['torchserve'], 7 * GiB)
    t.equal(limits(target, pod).pod, 4 * GiB + 64 * MiB, 'the pod’s cgroup is left behind')
    const told = await kubernetes.read()
    t.equal(told.container.restartCount, 1)
    t.equal(told.podLimitBytes, 4 * GiB + 64 * MiB, 'Kubernetes 1.36 lets it be seen')
    node.use(pod, 'torchserve', held(5 * GiB))
    await waitFor(target, 'it is killed again', 5_000, async () => {
      const { container } = await kubernetes.read()
      return !container.running
    })
    node.use(pod, 'torchserve', held(1 * GiB))
    const up = await waitFor(target, 'it runs again', 20_000, async () => {
      const seen = await kubernetes.read()
      return seen.container.running && seen
    })
    t.equal(up.container.restartCount, 2)
    await kubernetes.resize({ requestBytes: 4 * GiB + MiB })
    await done(target, pod)
    t.equal(limits(target, pod).pod, 7 * GiB + 64 * MiB, 'healed')
    node.use(pod, 'torchserve', held(5 * GiB))
    await target.clock.sleep(2_000)
    t.equal((await kubernetes.read()).container.restartCount, 2, 'and not killed any more')
  },
}

export const memoryInUse: readonly Case[] = [
  slightly,
  below('memory of its own', held(3 * GiB)),
  below('page cache', held(64 * MiB, 3 * GiB)),
  freed,
  missing,
  twice,
  midway,
  killed,
]
