/** Memory in use: decreases that are refused, and containers that are killed for theirs. */
import { limitOf, nodeOf } from './actuation.ts'
import {
  agentIn,
  burstable,
  conditionsOf,
  container,
  done,
  memory,
  MiB,
  read,
  resize,
  said,
  to,
  waitFor,
} from './calls.ts'
import type { Case } from './target.ts'

/** What a container holds, in MiB; small enough for any machine that this is run on. */
const held = (anon: number, file = 0) => ({ anonBytes: anon * MiB, fileBytes: file * MiB })

/** TorchServe with 200 MiB of at most 400, and an agent with 64. */
const modest = {
  ...burstable,
  containers: [container('torchserve', { cpu: '100m', memory: '200Mi' }, { memory: '400Mi' })],
}
const AGENT_MIB = 64
/** The kubelet's usage of a pod may be ten seconds old. */
const SAMPLED_MS = 11_000
const amounts = (request: number, limit: number) => ({
  requestBytes: request * MiB,
  limitBytes: limit * MiB,
})

const slightly: Case = {
  name: 'decrease memory limit slightly, above what is in use',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await nodeOf(target).use(pod, 'torchserve', held(100))
    await target.clock.sleep(SAMPLED_MS)
    await resize(target, pod, to({ torchserve: memory('200Mi', '300Mi') }))
    const now = await done(target, pod)
    t.equal(await limitOf(target, pod), 300 * MiB)
    t.equal(now.status.containerStatuses?.[0]?.restartCount, 0)
  },
}

const below = (what: string, use: ReturnType<typeof held>): Case => ({
  name: `decrease memory limit below usage (${what}): InProgress without a reason, then Error, never Pending; and back`,
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await nodeOf(target).use(pod, 'torchserve', use)
    await target.clock.sleep(SAMPLED_MS)
    const { kubernetes } = await agentIn(t, target, pod)
    const askedMs = target.clock.now()
    await kubernetes.resize({ requestBytes: 10 * 1024, limitBytes: 10 * 1024 })
    await said(target, pod, 'InProgress', '')
    const silent = await kubernetes.read()
    t.match(silent.inProgress, { reason: '', observedGeneration: silent.generation })
    t.equal(silent.container.allocatedRequestBytes, 10 * 1024, 'accepted, which says nothing')
    t.strictSame(silent.container.actual, amounts(200, 400))
    const { message } = await said(target, pod, 'InProgress', 'Error', 40_000)
    const tookMs = target.clock.now() - askedMs
    t.ok(tookMs > 8_000 && tookMs < 30_000, `an error after ${Math.round(tookMs)} ms`)
    t.match(message, /cannot decrease memory limits: .*memory limit \(\d+\) below current usage/)
    t.strictSame(
      conditionsOf(await read(target, pod)).map(({ type }) => type),
      ['PodResizeInProgress'],
    )
    t.equal(await limitOf(target, pod), 400 * MiB, 'the cgroup is as it was')
    await kubernetes.resize(amounts(200, 400))
    await done(target, pod, 5_000)
  },
})

const volume: Case = {
  name: 'a volume that is memory: up, down, and not below what its files take',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await nodeOf(target).use(pod, 'torchserve', { ...held(10), volumeBytes: 180 * MiB })
    await target.clock.sleep(SAMPLED_MS)
    for (const limit of [500, 300]) {
      await resize(target, pod, to({ torchserve: memory('100Mi', `${limit}Mi`) }))
      await done(target, pod)
      t.equal(await limitOf(target, pod), limit * MiB)
    }
    await resize(target, pod, to({ torchserve: memory('100Mi', '150Mi') }))
    await said(target, pod, 'InProgress', 'Error', 40_000)
    t.equal(await limitOf(target, pod), 300 * MiB, 'refused')
    const back = await resize(target, pod, to({ torchserve: memory('100Mi', '300Mi') }))
    t.equal(back.status, 200, back.message)
    const now = await done(target, pod, 5_000)
    t.equal(now.status.containerStatuses?.[0]?.restartCount, 0)
  },
}

const freed: Case = {
  name: 'a refused decrease is made by itself once the memory is free',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await nodeOf(target).use(pod, 'torchserve', held(300))
    await target.clock.sleep(SAMPLED_MS)
    await resize(target, pod, to({ torchserve: memory('100Mi', '200Mi') }))
    await said(target, pod, 'InProgress', 'Error', 40_000)
    await nodeOf(target).use(pod, 'torchserve', held(50))
    await done(target, pod, 60_000)
    t.equal(await limitOf(target, pod), 200 * MiB)
  },
}

const missing: Case = {
  name: '`missing container … memory usage` is transient',
  needs: 'stats',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await nodeOf(target).use(pod, 'torchserve', held(50))
    nodeOf(target).hideStats?.(pod, 20_000)
    await resize(target, pod, to({ torchserve: memory('100Mi', '200Mi') }))
    const { message } = await said(target, pod, 'InProgress', 'Error', 25_000)
    t.match(message, /missing pod memory usage, missing container "torchserve" memory usage/)
    await done(target, pod, 40_000)
    t.equal(await limitOf(target, pod), 200 * MiB)
  },
}

const twice: Case = {
  name: 'both conditions at once, each of its own generation: the pending one comes first',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await target.create(namespace, {
      name: 'filler',
      containers: [container('torchserve', { cpu: '100m', memory: '13Gi' })],
    })
    await nodeOf(target).use(pod, 'torchserve', held(300))
    await target.clock.sleep(SAMPLED_MS)
    const { kubernetes } = await agentIn(t, target, pod)
    await kubernetes.resize(amounts(100, 200))
    await said(target, pod, 'InProgress', 'Error', 40_000)
    await kubernetes.resize(amounts(8192, 8192))
    await said(target, pod, 'Pending', 'Deferred')
    const seen = await kubernetes.read()
    t.match(seen.pending, { reason: 'Deferred', observedGeneration: 3 })
    t.match(seen.inProgress, { reason: 'Error', observedGeneration: 2 })
    await kubernetes.resize(amounts(200, 400))
    const now = await done(target, pod, 5_000)
    t.strictSame(conditionsOf(now), [], 'both are gone')
  },
}

const midway: Case = {
  name: 'container restarted mid-resize: it starts with what was accepted',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    await resize(target, pod, to({ torchserve: memory('300Mi', '600Mi') }))
    await nodeOf(target).kill(pod, 'torchserve')
    const now = await waitFor(target, 'it runs again', 20_000, async () => {
      const seen = await read(target, pod)
      const status = seen.status.containerStatuses?.[0]
      return status?.restartCount === 1 && status.ready && seen
    })
    t.match(now.status.containerStatuses?.[0], {
      lastState: { terminated: { reason: 'Error', exitCode: 137 } },
    })
    await done(target, pod)
    t.equal(await limitOf(target, pod), 600 * MiB)
  },
}

const killed: Case = {
  name: 'OOMKilled then resized while down: done is said, the pod is left behind, killed again, and healed by 1 MiB',
  needs: 'node',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, modest)
    const node = nodeOf(target)
    const { kubernetes } = await agentIn(t, target, pod)
    const state = (what: string, ms: number, running: boolean, restarts: number) =>
      waitFor(target, what, ms, async () => {
        const { container: seen } = await kubernetes.read()
        return seen.running === running && seen.restartCount >= restarts && seen
      })
    // The first restart comes within a second, the next after ten.
    await node.use(pod, 'torchserve', held(500))
    const down = await state('it is killed twice', 20_000, false, 1)
    t.match(down.lastTermination, { reason: 'OOMKilled', exitCode: 137 })
    await node.use(pod, 'torchserve', held(50))
    await kubernetes.resize(amounts(400, 700))
    await state('it runs again', 40_000, true, down.restartCount + 1)
    await done(target, pod, 15_000)
    t.equal(await limitOf(target, pod), 700 * MiB)
    const { pod: behind } = await node.limits(pod)
    t.equal(behind, (400 + AGENT_MIB) * MiB, 'the pod’s cgroup is left behind')
    const told = await kubernetes.read()
    t.equal(told.inProgress, undefined, 'done is said')
    t.equal(told.podLimitBytes, behind, 'Kubernetes 1.36 lets it be seen')
    await node.use(pod, 'torchserve', held(500))
    const again = await state('it is killed again', 20_000, false, down.restartCount + 1)
    await node.use(pod, 'torchserve', held(50))
    await state('it runs again', 60_000, true, again.restartCount + 1)
    await kubernetes.resize({ requestBytes: 401 * MiB })
    await done(target, pod)
    t.equal((await node.limits(pod)).pod, (700 + AGENT_MIB) * MiB, 'healed')
    await node.use(pod, 'torchserve', held(500))
    await target.clock.sleep(3_000)
    const { container: last } = await kubernetes.read()
    t.match(last, { running: true, restartCount: again.restartCount + 1 }, 'not killed any more')
  },
}

export const memoryInUse: readonly Case[] = [
  slightly,
  below('memory of its own', held(300)),
  below('page cache', held(10, 280)),
  volume,
  freed,
  missing,
  twice,
  midway,
  killed,
]
