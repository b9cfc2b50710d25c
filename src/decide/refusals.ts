/** Models of which the number of workers is left alone. */
import type { PoolPolicy } from '../config.ts'
import type { Description, Refusal } from '../model.ts'
import type { PoolMemory } from './memory.ts'

export const refusals: Record<Refusal, string> = {
  stateful: 'its sequences are tied to their worker and would be lost with it',
  parallel: 'one worker is a group of processes over several devices',
  continuous_batching: 'requests stay in the worker over many steps',
  job_ticket: 'requests are refused instead of queued, so there is no load to see',
  launcher: 'cpu_launcher_enable restarts every worker at each change',
  switched_off: 'STOKER_MODELS says scale: false',
}

export function refusalOf(pool: {
  policy: Pick<PoolPolicy, 'scale'>
  description: Pick<Description, 'refusal'>
  memory: Pick<PoolMemory, 'launcher'>
}): Refusal | undefined {
  if (!pool.policy.scale) return 'switched_off'
  return pool.memory.launcher ? 'launcher' : pool.description.refusal
}
