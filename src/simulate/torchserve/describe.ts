import type { Pool } from './pool.ts'
import type { Worker } from './worker.ts'

const MiB = 1_048_576

/** One version in a describe reply: TorchServe 0.12's fields in its order, those without a value left out. */
export function describe(pool: Pool): Record<string, unknown> {
  const { model, queue } = pool
  return {
    modelName: model.name,
    modelVersion: model.version,
    modelUrl: `${model.name}.mar`,
    runtime: 'python',
    minWorkers: pool.min,
    maxWorkers: pool.max,
    batchSize: model.batchSize,
    maxBatchDelay: model.maxBatchDelayMs,
    responseTimeout: model.responseTimeoutSec,
    startupTimeout: model.startupTimeoutSec,
    maxRetryTimeoutInSec: model.maxRetrySec,
    clientTimeoutInMills: 0,
    parallelType: '',
    parallelLevel: 0,
    deviceType: model.gpu ? 'gpu' : 'cpu',
    continuousBatching: false,
    useJobTicket: false,
    useVenv: false,
    stateful: false,
    sequenceMaxIdleMSec: 0,
    sequenceTimeoutMSec: 0,
    maxNumSequence: 0,
    maxSequenceJobQueueSize: 0,
    loadedAtStartup: true,
    workers: pool.workers.map(worker => describeWorker(worker, pool)),
    jobQueueStatus: {
      remainingCapacity: queue.capacity - queue.size,
      pendingRequests: queue.size,
    },
    ...model.describeAs,
  }
}

function describeWorker(worker: Worker, pool: Pool): Record<string, unknown> {
  return {
    id: worker.id,
    startTime: new Date(worker.startedMs).toISOString(),
    // Loading, failing and dead workers are all called UNLOADING.
    status: worker.state === 'loaded' ? 'READY' : 'UNLOADING',
    memoryUsage: worker.memoryBytes,
    pid: worker.pid,
    gpu: pool.model.gpu !== false,
    gpuUsage: pool.model.gpu ? gpuUsage(pool) : 'N/A',
  }
}

/** nvidia-smi's numbers of the whole card, as 0.12 writes them. */
function gpuUsage(pool: Pool): string {
  const onMig = pool.model.gpu === 'mig'
  const used = onMig ? '[N/A]' : Math.round((pool.ready() * pool.model.gpuBytes) / MiB)
  const percent = onMig ? '[N/A]' : pool.device.busy > 0 ? 100 : 0
  return `gpuId::0 utilization.gpu [%]::${percent} % utilization.memory [%]::0 % memory.used [MiB]::${used} MiB`
}
