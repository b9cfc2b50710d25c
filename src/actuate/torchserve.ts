import { readFile } from 'node:fs/promises'
import { sendDecoy } from '../clients/decoy.ts'
import { isObject } from '../clients/reply.ts'
import type { TorchServe } from '../clients/torchserve.ts'
import type { Config } from '../config.ts'
import type { PoolId } from '../model.ts'
import type { Actuated, Queue } from './shrink.ts'

const ARRIVALS = 'ts_inference_requests_total'

/** TorchServe as the actuator sees it. */
export function actuated(
  torchserve: Pick<TorchServe, 'scale' | 'describe' | 'metrics' | 'authorization'>,
  config: Pick<Config, 'managementUrl' | 'caFile' | 'timeoutMs'>,
): Actuated {
  return {
    scale: (pool, workers) => torchserve.scale(pool, workers),
    queue: async pool => queueOf(await torchserve.describe(pool.model), pool),
    async arrivals({ model }) {
      const page = await torchserve.metrics([ARRIVALS])
      return page
        .split('\n')
        .filter(line => line.includes(`model_name="${model}"`))
        .join('\n')
    },
    async sendDecoy(pool) {
      const headers = await torchserve.authorization('management')
      const ca = config.caFile === undefined ? undefined : await readFile(config.caFile, 'utf8')
      const options = { headers, ca, timeoutMs: config.timeoutMs }
      return () => sendDecoy(config.managementUrl, pool, options)
    },
  }
}

function queueOf(description: unknown, pool: PoolId): Queue {
  const versions: unknown[] = Array.isArray(description) ? description : []
  const version = versions
    .filter(isObject)
    .find(({ modelVersion }) => modelVersion === pool.version)
  const queue = version?.['jobQueueStatus']
  const workers: unknown[] = Array.isArray(version?.['workers']) ? version['workers'] : []
  return {
    pending: isObject(queue) ? Number(queue['pendingRequests']) : undefined,
    workers: workers.map(worker => (isObject(worker) ? String(worker['id']) : '')),
  }
}
