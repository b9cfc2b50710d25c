/** Whose pod it is, and since when: uids, versions, tokens, and pods that end. */
import { writeFileSync } from 'node:fs'
import {
  agentIn,
  burstable,
  container,
  GiB,
  memory,
  MiB,
  read,
  resize,
  resourcesOf,
  to,
  waitFor,
} from './calls.ts'
import type { Case } from './target.ts'

const recreated: Case = {
  name: 'a pod recreated under the same name is not taken for the old one',
  run: async (t, target, namespace) => {
    const old = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, old)
    t.equal((await kubernetes.read()).uid, old.uid)
    await target.remove(old, 0)
    await t.rejects(kubernetes.read(), { code: 'RESIZE_POD_GONE' })
    const fresh = await target.create(namespace, burstable)
    t.not(fresh.uid, old.uid)
    // By rights the token ends with its pod; for ten seconds the server still takes it, and the policy or the uid refuses.
    await t.rejects(kubernetes.resize({ requestBytes: 3 * GiB }), {
      code: /RESIZE_POD_REPLACED|RESIZE_POLICY|KUBERNETES_UNAUTHORIZED/,
    })
    const fenced = await resize(target, fresh, {
      metadata: { uid: old.uid },
      ...to({ torchserve: memory('3Gi') }),
    })
    t.equal(fenced.status, 422)
    t.match(fenced.causes[0], { field: 'metadata.uid' })
    const looked = await resize(target, fresh, { metadata: { uid: old.uid } })
    t.equal(looked.status, 422, 'looking is fenced as well')
    t.equal((await read(target, fresh)).metadata.generation, 1)
  },
}

const between: Case = {
  name: 'a foreign writer between read and PATCH is noticed, and seen',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    const before = await kubernetes.read()
    t.strictSame(before.peers, [])
    const foreign = to({ torchserve: memory('2500Mi', '5Gi') })
    await resize(target, pod, foreign, { query: '?fieldManager=vpa-updater' })
    await t.rejects(
      kubernetes.resize({ requestBytes: 3 * GiB }, { unchangedSince: before.resourceVersion }),
      { code: 'RESIZE_CONFLICT', status: 409 },
    )
    const now = await kubernetes.read()
    t.match(now.peers, [{ name: 'vpa-updater', wroteAtMs: Number }])
    t.equal(now.container.desired.requestBytes, 2500 * MiB)
    const beside = await kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 5 * GiB })
    t.match(beside.peers, [{ name: 'vpa-updater' }], 'it still owns the limit, which is equal')
    const all = await kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 6 * GiB })
    t.strictSame(all.peers, [], 'whoever is overwritten is not seen any more')
  },
}

const terminating: Case = {
  name: 'a terminating pod takes a resize, and says that it is terminating',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    await target.remove(pod, 30_000)
    const looked = await kubernetes.read()
    t.equal(looked.terminating, true)
    t.equal(looked.generation, 2, 'deleting is a generation')
    const raised = await kubernetes.resize({ requestBytes: 3 * GiB })
    t.equal(raised.container.desired.requestBytes, 3 * GiB)
    t.equal(raised.terminating, true)
  },
}

const rotated: Case = {
  name: 'a token that the server does not take any more is read again',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes, tokenFile } = await agentIn(t, target, pod)
    writeFileSync(tokenFile, 'expired')
    await t.rejects(kubernetes.read(), { code: 'KUBERNETES_UNAUTHORIZED' })
    writeFileSync(tokenFile, await target.tokenOf(pod))
    t.equal((await kubernetes.read()).uid, pod.uid)
  },
}

const plainBytes: Case = {
  name: 'the agent writes bytes, and reads any notation',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    t.match(await kubernetes.read(), {
      uid: pod.uid,
      generation: 1,
      qosClass: 'Burstable',
      terminating: false,
      container: {
        desired: { requestBytes: 2 * GiB, limitBytes: 4 * GiB },
        allocatedRequestBytes: 2 * GiB,
        actual: { requestBytes: 2 * GiB, limitBytes: 4 * GiB },
        running: true,
        restartCount: 0,
        restartsOnResize: false,
      },
    })
    const raised = await kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 5 * GiB + 1 })
    t.match(raised.container.desired, { requestBytes: 3 * GiB, limitBytes: 5 * GiB + 1 })
    t.equal(raised.generation, 2)
    const seen = target.version >= '1.34' ? 1 : undefined
    t.equal(raised.observedGeneration, seen, 'the kubelet has not looked yet')
    const stored = resourcesOf(await read(target, pod), 'torchserve')
    t.strictSame(stored.limits, { memory: '5368709121' })
  },
}

const claims: Case = {
  name: 'DRA-claims: a container that claims a device is refused before 1.37, even when nothing is asked for',
  since: '1.34',
  run: async (t, target, namespace) => {
    const claiming = {
      ...container('torchserve', { cpu: '1', memory: '2Gi' }, { memory: '4Gi' }),
      claims: ['gpu'],
    }
    const pod = await target.create(namespace, { ...burstable, containers: [claiming] })
    const { kubernetes } = await agentIn(t, target, pod)
    if (target.version >= '1.37') {
      t.equal((await kubernetes.read()).uid, pod.uid)
      const raised = await kubernetes.resize({ requestBytes: 3 * GiB })
      t.equal(raised.container.desired.requestBytes, 3 * GiB)
      return
    }
    await t.rejects(kubernetes.read(), {
      code: 'RESIZE_POD_UNSUPPORTED',
      message: /only cpu and memory resources are mutable/,
    })
    await t.rejects(kubernetes.resize({ requestBytes: 3 * GiB }), {
      code: 'RESIZE_POD_UNSUPPORTED',
    })
  },
}

const podLevel: Case = {
  name: 'a pod with resources of its own is refused before 1.36',
  since: '1.34',
  run: async (t, target, namespace) => {
    const resources = { requests: { memory: '4Gi' }, limits: { memory: '6Gi' } }
    const pod = await target.create(namespace, { ...burstable, resources })
    const { kubernetes } = await agentIn(t, target, pod)
    if (target.version < '1.36') {
      await t.rejects(kubernetes.read(), { code: 'RESIZE_POD_UNSUPPORTED', status: 422 })
      return
    }
    const raised = await kubernetes.resize({ requestBytes: 3 * GiB })
    t.equal(raised.container.desired.requestBytes, 3 * GiB)
  },
}

const parallel: Case = {
  name: 'thirty patches at once without a fence are all taken, the last of them holds',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, place) =>
        resize(target, pod, to({ torchserve: memory(`${2100 + place}Mi`) })),
      ),
    )
    t.ok(answers.every(({ status }) => status === 200))
    const last = answers.reduce((one, other) =>
      one.pod.metadata.generation > other.pod.metadata.generation ? one : other,
    )
    t.equal(last.pod.metadata.generation, 31)
    await waitFor(target, 'the last holds', 1_000, async () => {
      const now = await read(target, pod)
      return (
        resourcesOf(now, 'torchserve').requests?.['memory'] ===
        resourcesOf(last.pod, 'torchserve').requests?.['memory']
      )
    })
  },
}

export const identity: readonly Case[] = [
  recreated,
  between,
  terminating,
  rotated,
  plainBytes,
  claims,
  podLevel,
  parallel,
]
