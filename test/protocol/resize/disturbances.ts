/** A disturbed way to the API server. */
import { agentIn, burstable, GiB, read, resourcesOf } from './calls.ts'
import type { Case, ResizeTarget } from './target.ts'

function faultsOf({ faults }: ResizeTarget) {
  if (!faults) throw new Error('this case needs a way that can be disturbed')
  return faults
}

/** So long that a busy machine answers what it answers. */
const SILENT_MS = 1_500

const lost: Case[] = ([true, false] as const).flatMap(applied =>
  (['silence', 'reset'] as const).map(how => ({
    name: `PATCH ${how === 'silence' ? 'timeout' : 'connection lost'} with the write ${applied ? 'applied' : 'not applied'}: only a read tells`,
    needs: 'faults' as const,
    run: async (t, target, namespace) => {
      const pod = await target.create(namespace, burstable)
      const { kubernetes } = await agentIn(t, target, pod, how === 'silence' ? SILENT_MS : 10_000)
      faultsOf(target).plan({ kind: 'lost', applied, how }, { which: 'changes' })
      await t.rejects(kubernetes.resize({ requestBytes: 3 * GiB }), {
        code: how === 'silence' ? 'KUBERNETES_TIMEOUT' : 'KUBERNETES_UNREACHABLE',
      })
      const now = await kubernetes.read()
      t.equal(now.container.desired.requestBytes, (applied ? 3 : 2) * GiB)
      t.equal(now.generation, applied ? 2 : 1)
    },
  })),
)

const busy: Case = {
  name: '429: when to come back is said, and nothing was done',
  needs: 'faults',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    const body = {
      kind: 'Status',
      status: 'Failure',
      message: 'Too many requests, please try again later.',
      reason: 'TooManyRequests',
      code: 429,
    }
    faultsOf(target).plan({ kind: 'reply', response: { status: 429, body } })
    await t.rejects(kubernetes.resize({ requestBytes: 3 * GiB }), {
      code: 'KUBERNETES_BUSY',
      retryAfterMs: 1_000,
    })
    t.equal(resourcesOf(await read(target, pod), 'torchserve').requests?.['memory'], '2Gi')
  },
}

const failing: Case = {
  name: 'a server error is told, and the next call works',
  needs: 'faults',
  run: async (t, target, namespace) => {
    const pod = await target.create(namespace, burstable)
    const { kubernetes } = await agentIn(t, target, pod)
    const body = { kind: 'Status', message: 'etcdserver: request timed out', code: 500 }
    faultsOf(target).plan({ kind: 'reply', response: { status: 500, body } }, { times: 2 })
    await t.rejects(kubernetes.read(), { code: 'KUBERNETES_FAILED', message: /etcdserver/ })
    await t.rejects(kubernetes.read(), { code: 'KUBERNETES_FAILED' })
    t.equal((await kubernetes.read()).uid, pod.uid)
  },
}

export const disturbances: readonly Case[] = [...lost, busy, failing]
