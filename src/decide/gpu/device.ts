/** Whether a pool's workers run on GPUs, also while there are none. */
import type { Observation, PoolSeen } from '../../model.ts'
import type { PoolMemory } from '../memory.ts'

/** As its workers show, or showed when there were some; undefined: none was ever seen. */
export function seenOnGpu(
  { description }: PoolSeen,
  memory: Pick<PoolMemory, 'onGpu'> | undefined,
): boolean | undefined {
  const workers = description.state === 'absent' ? [] : description.value.workers
  return workers.length === 0 ? memory?.onGpu : workers.some(({ gpu }) => gpu)
}

/**
 * Where no worker was ever seen, TorchServe's word counts; older ones do not say it, and put every model on a GPU where there
 * is one.
 */
export function runsOnGpu(
  pool: PoolSeen,
  memory: Pick<PoolMemory, 'onGpu'> | undefined,
  { gpus, pools }: Pick<Observation, 'gpus' | 'pools'>,
): boolean {
  const seen = seenOnGpu(pool, memory)
  if (seen !== undefined) return seen
  if (pool.description.state === 'absent') return false
  const { device } = pool.description.value
  if (device !== undefined) return device === 'gpu'
  return gpus.state === 'fresh' || pools.some(other => seenOnGpu(other, undefined) === true)
}
