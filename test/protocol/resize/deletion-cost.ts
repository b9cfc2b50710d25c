/** One annotation of the agent's own pod: what it takes to write it, and how each refusal is told. */
import type { Kubernetes } from '../../../src/clients/kubernetes.ts'
import { agentIn, burstable, read, resize, waitFor } from './calls.ts'
import type { Case, PodRef, ResizeTarget } from './target.ts'

const COST = 'controller.kubernetes.io/pod-deletion-cost'

const costOf = async (target: ResizeTarget, pod: PodRef) =>
  (await read(target, pod)).metadata.annotations?.[COST]

const answerTo = (kubernetes: Kubernetes) =>
  kubernetes.setDeletionCost(1).then(
    () => 'written',
    (error: unknown) => String(Object(error).code),
  )

/** A right is in force a moment after it was given. */
async function allow(target: ResizeTarget, namespace: string, kubernetes: Kubernetes) {
  await target.allowCosts(namespace)
  const isAllowed = async () => (await answerTo(kubernetes)) === 'written'
  await waitFor(target, 'it may be written', 5_000, isAllowed)
}

const written: Case = {
  name: 'a deletion cost takes the right to patch pods, and is written once',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    await t.rejects(kubernetes.setDeletionCost(3), {
      code: 'DELETION_COST_RBAC',
      message: /cannot patch resource "pods" in API group "" .*deletionCost\.serviceAccounts/,
    })
    await allow(target, namespace, kubernetes)
    await kubernetes.setDeletionCost(7)
    const { metadata, spec } = await read(target, pod)
    t.match(metadata.annotations, { ...burstable.annotations, [COST]: '7' })
    t.equal(metadata.generation, 1, 'nothing is asked of the kubelet')
    const version = metadata.resourceVersion
    await kubernetes.setDeletionCost(7)
    const again = await read(target, pod)
    t.equal(again.metadata.resourceVersion, version, 'what stands there is not written')
    await kubernetes.setDeletionCost(0)
    t.equal(await costOf(target, pod), '0')
    t.strictSame((await read(target, pod)).spec, spec)
  },
}

const others: Case = {
  name: 'whoever may write deletion costs may write nothing else',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const other = await target.create(namespace, { ...burstable, name: 'other' })
    const { kubernetes } = await agentIn(t, target, pod)
    await allow(target, namespace, kubernetes)
    const token = await target.tokenOf(pod)
    const patch = (which: PodRef, annotations: object) =>
      resize(target, which, { metadata: { annotations } }, { token, subresource: '' })
    const policy = /ValidatingAdmissionPolicy 'stoker-deletion-cost-own-pod'/
    const cap = await patch(pod, { 'stoker.dev/max-memory': '99Gi', [COST]: '1' })
    t.equal(cap.status, 403)
    t.match(cap.message, policy)
    t.match(cap.message, /only the annotation controller.kubernetes.io\/pod-deletion-cost may be/)
    const foreign = await patch(other, { [COST]: '1' })
    t.equal(foreign.status, 403)
    t.match(foreign.message, /a pod may only set its own deletion cost/)
    for (const wrong of ['idle', '1.5', '007', '2147483648']) {
      const invalid = await patch(pod, { [COST]: wrong })
      t.equal(invalid.status, 422, wrong)
      t.match(invalid.message, `Invalid value: "${wrong}": must be a 32bit integer`)
    }
    t.match((await read(target, pod)).metadata.annotations, { 'stoker.dev/max-memory': '8Gi' })
  },
}

const gone: Case = {
  name: 'a pod that is gone, or another of its name, is told from a refusal',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    await allow(target, namespace, kubernetes)
    await target.remove(pod, 0)
    t.equal(await answerTo(kubernetes), 'RESIZE_POD_GONE')
    const fresh = await target.create(namespace, burstable)
    // By rights the token ends with its pod; for ten seconds the server still takes it, and the policy or the uid refuses.
    const answers = /RESIZE_POD_REPLACED|DELETION_COST_POLICY|KUBERNETES_UNAUTHORIZED/
    t.match(await answerTo(kubernetes), answers)
    t.equal(await costOf(target, fresh), undefined)
  },
}

const disturbed: Case = {
  name: 'a deletion cost on a disturbed way: 429, a server error, silence',
  needs: 'faults',
  since: '1.36',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod, 1_500)
    await allow(target, namespace, kubernetes)
    const status = (code: number) => ({
      status: code,
      body: { kind: 'Status', message: 'no', code },
    })
    target.faults?.plan({
      kind: 'reply',
      response: { ...status(429), headers: { 'retry-after': '7' } },
    })
    await t.rejects(kubernetes.setDeletionCost(2), { code: 'KUBERNETES_BUSY', retryAfterMs: 7_000 })
    target.faults?.plan({ kind: 'reply', response: status(500) })
    t.equal(await answerTo(kubernetes), 'KUBERNETES_FAILED')
    target.faults?.plan({ kind: 'lost', applied: false, how: 'silence' })
    t.equal(await answerTo(kubernetes), 'KUBERNETES_TIMEOUT')
    t.equal(await costOf(target, pod), '1', 'as it was before')
  },
}

export const deletionCosts: readonly Case[] = [written, others, gone, disturbed]
