/** Changes the memory of the pod's TorchServe container, if it is still the one that was decided on. */
import { KubernetesError, type Kubernetes } from '../clients/kubernetes.ts'
import type { Clock } from '../clock.ts'
import { StokerError, type ErrorCode } from '../errors.ts'
import type { MemoryResources, PodState, ResizeAction, ResizeOutcome } from '../model.ts'

/** The kubelet writes the pod's status now and then; a write between look and change is looked at again. */
const TRIES = 3

export interface ResizeActuator {
  /** Begins a resize and returns; what became of it is in a later `outcome()`. */
  start(action: ResizeAction): void
  /** What has become of the last resize, once. */
  outcome(): ResizeOutcome | undefined
  /** Resolves when nothing is under way. */
  settled(): Promise<void>
}

const nothing: MemoryResources = { requestBytes: undefined, limitBytes: undefined }

export function createResizeActuator(on: {
  kubernetes: Pick<Kubernetes, 'read' | 'resize'>
  clock: Clock
  /** Every resize ends as `advised`, and nothing is sent. */
  advise: boolean
}): ResizeActuator {
  let done: ResizeOutcome | undefined
  let flying: Promise<void> = Promise.resolve()
  return {
    start(action) {
      const end = (ending: Ending) => void (done = { action, atMs: on.clock.now(), ...ending })
      if (on.advise) return end({ kind: 'advised' })
      flying = attempt(on.kubernetes, action, TRIES).catch(failure).then(end)
    },
    outcome() {
      const last = done
      done = undefined
      return last
    },
    settled: () => flying,
  }
}

type Ending =
  | Omit<Extract<ResizeOutcome, { kind: 'accepted' | 'advised' }>, 'action' | 'atMs'>
  | Omit<Extract<ResizeOutcome, { kind: 'unfit' }>, 'action' | 'atMs'>
  | Omit<Extract<ResizeOutcome, { kind: 'failed' }>, 'action' | 'atMs'>

async function attempt(
  kubernetes: Pick<Kubernetes, 'read' | 'resize'>,
  action: ResizeAction,
  tries: number,
): Promise<Ending> {
  const pod = await kubernetes.read()
  const why = changed(pod, action)
  if (why) return { kind: 'unfit', why }
  try {
    const { requestBytes, limitBytes } = action.to
    await kubernetes.resize(
      {
        ...(requestBytes === undefined ? {} : { requestBytes }),
        ...(limitBytes === undefined ? {} : { limitBytes }),
      },
      { unchangedSince: pod.resourceVersion },
    )
    return { kind: 'accepted' }
  } catch (error) {
    const conflict = error instanceof StokerError && error.code === 'RESIZE_CONFLICT'
    if (!conflict || tries <= 1) throw error
    return attempt(kubernetes, action, tries - 1)
  }
}

/** A change that reaches a container which is not running reaches only one of its two cgroups. */
function changed({ container, terminating }: PodState, action: ResizeAction): string | undefined {
  if (terminating) return 'the pod is being deleted'
  if (!container.running) return 'the container is not running'
  if (container.restartCount !== action.restartCount) return 'the container has restarted'
  const { requestBytes, limitBytes } = container.desired
  const isAsBefore =
    requestBytes === action.from.requestBytes && limitBytes === action.from.limitBytes
  return isAsBefore ? undefined : 'somebody else has set its memory'
}

function failure(error: unknown): Ending {
  const code: ErrorCode = error instanceof StokerError ? error.code : 'KUBERNETES_FAILED'
  const told = error instanceof KubernetesError ? error : undefined
  return {
    kind: 'failed',
    code,
    message: error instanceof Error ? error.message : String(error),
    ceiling: told?.ceiling ?? nothing,
    floor: told?.floor ?? nothing,
    retryAfterMs: told?.retryAfterMs,
  }
}
