/** Writes what it would cost to lose this pod, for the controller that chooses which pods go first. */
import { KubernetesError, type Kubernetes } from '../clients/kubernetes.ts'
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import type { CostOutcome, Note } from '../model.ts'

export interface CostActuator {
  /** Begins to write and returns; what became of it is in a later `outcome()`. */
  start(cost: number): void
  /** What has become of the last write, once. */
  outcome(): CostOutcome | undefined
  /** Why the last write failed, for as long as none has succeeded since. */
  notes(): readonly Note[]
  /** Resolves when nothing is under way. */
  settled(): Promise<void>
}

export function createCostActuator(on: {
  kubernetes: Pick<Kubernetes, 'setDeletionCost'>
  clock: Clock
  /** Every write ends as `advised`, and nothing is sent. */
  advise: boolean
}): CostActuator {
  let done: CostOutcome | undefined
  let fault: StokerError | undefined
  let flying: Promise<void> = Promise.resolve()

  async function write(cost: number): Promise<void> {
    try {
      await on.kubernetes.setDeletionCost(cost)
      fault = undefined
      done = { cost, atMs: on.clock.now(), kind: 'written' }
    } catch (error) {
      fault =
        error instanceof StokerError ? error : new StokerError('KUBERNETES_FAILED', String(error))
      const { code, message } = fault
      const retryAfterMs = error instanceof KubernetesError ? error.retryAfterMs : undefined
      done = { cost, atMs: on.clock.now(), kind: 'failed', code, message, retryAfterMs }
    }
  }

  return {
    start(cost) {
      if (on.advise) done = { cost, atMs: on.clock.now(), kind: 'advised' }
      else flying = write(cost)
    },
    outcome() {
      const last = done
      done = undefined
      return last
    },
    notes: () => (fault ? [{ code: fault.code, message: fault.message }] : []),
    settled: () => flying,
  }
}
