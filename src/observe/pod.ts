/** One look at the agent's own pod: what the API server says of it, and the memory of its TorchServe container. */
import type { TorchServeCgroup } from '../clients/cgroup.ts'
import { KubernetesError, type Kubernetes } from '../clients/kubernetes.ts'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { Note, PodSeen, PodState, Reading } from '../model.ts'

export interface PodObserver {
  /** Looks once; never throws. `urgent`: the API server is asked now, else every 10 s; when it said to come back later, then. */
  observe(urgent: boolean): Promise<{ pod: PodSeen; notes: Note[] }>
}

const EVERY_MS = 10_000
/** The loop waits no longer for the API server, and takes the answer in its next round. */
const WAIT_MS = 250

/** `kubernetes` is undefined where the agent does not know its pod. */
export function createPodObserver(options: {
  kubernetes: Pick<Kubernetes, 'read'> | undefined
  cgroup: TorchServeCgroup
  clock: Clock
}): PodObserver {
  const { cgroup, clock, kubernetes } = options
  let last: { value: PodState; atMs: number } | undefined
  let fault: StokerError | undefined
  let askedMs = -Infinity
  /** The API server said to come back then. */
  let notBeforeMs = -Infinity
  let asking: Promise<void> | undefined

  async function ask(from: Pick<Kubernetes, 'read'>): Promise<void> {
    const atMs = clock.now()
    askedMs = atMs
    try {
      // What is read later than it was asked for may be newer, never older.
      last = { value: await from.read(), atMs }
      fault = undefined
    } catch (error) {
      fault =
        error instanceof StokerError ? error : new StokerError('KUBERNETES_FAILED', String(error))
      const retryAfterMs = error instanceof KubernetesError ? (error.retryAfterMs ?? 0) : 0
      notBeforeMs = clock.now() + retryAfterMs
    } finally {
      asking = undefined
    }
  }

  function state(): Reading<PodState> {
    if (!kubernetes) return { state: 'absent', why: 'the agent does not know which pod it is in' }
    if (!last) return { state: 'absent', why: fault?.message ?? 'not asked yet' }
    if (!fault) return { state: 'fresh', ...last }
    // Only a resize, which needs the API server, changes what the pod has.
    return { state: 'stale', ...last, why: fault.message }
  }

  return {
    async observe(urgent) {
      const isDue = urgent || clock.now() - askedMs >= EVERY_MS
      if (kubernetes && isDue && clock.now() >= notBeforeMs) {
        asking ??= ask(kubernetes)
        await Promise.race([asking, clock.sleep(WAIT_MS)])
      }
      const memory = cgroup.memory()
      return {
        pod: {
          state: state(),
          memory:
            'why' in memory
              ? { state: 'absent', ...memory }
              : { state: 'fresh', value: memory, atMs: clock.now() },
        },
        notes: fault ? [{ code: fault.code, message: fault.message }] : [],
      }
    },
  }
}
