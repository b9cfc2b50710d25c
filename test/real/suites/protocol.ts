/** The protocol cases on a real TorchServe. */
import t from 'tap'
import { wallClock } from '../../../src/clock.ts'
import { testProtocol } from '../../protocol/cases.ts'
import type { ModelShape, Scene, Target } from '../../protocol/target.ts'
import type { ModelLog, ModelSpec } from '../models.ts'
import { startTorchServe } from '../torchserve.ts'

// tap's own limit of 30 s is too short for the starts of this many servers.
t.setTimeout(480_000)

testProtocol(
  async ({ models, metricsMode = 'prometheus', tokens = false }: Scene): Promise<Target> => {
    const config = { metrics_mode: metricsMode }
    const server = await startTorchServe({ models: models.map(asSpec), config, auth: tokens })
    return {
      inferenceUrl: server.inferenceUrl,
      managementUrl: server.managementUrl,
      metricsUrl: server.metricsUrl,
      keyFile: server.keyFile,
      clock: wallClock,
      patience: 5,
      failLoads: (model, from, mode = 'plain') =>
        server.behave(model, { failFrom: from ?? null, failMode: mode }),
      signal: (pid, signal) => void process.kill(pid, signal),
      alive: isAlive,
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      calls: model => calls(server.log(model)),
      close: () => server.stop(),
    }
  },
)

function asSpec(shape: ModelShape): ModelSpec {
  const { name, version = '1.0', workers = 1, serviceMs = 100, decoy = 'runs' } = shape
  return {
    name,
    version,
    config: {
      minWorkers: workers,
      maxWorkers: workers,
      batchSize: shape.batchSize ?? 1,
      maxBatchDelay: shape.maxBatchDelayMs ?? 100,
      jobQueueSize: shape.queueSize ?? 100,
      maxRetryTimeoutInSec: shape.maxRetrySec ?? 300,
    },
    behaviour: { serviceMs, decoy: decoy === 'raises' ? 'raise' : 'run' },
  }
}

function calls({ executions, decoys }: ModelLog): string[][] {
  const begun = executions.map(({ id, pid, call, beginMs }) => ({ id, pid, call, atMs: beginMs }))
  const rows = [...begun, ...decoys.map(decoy => ({ ...decoy, id: 'decoy' }))]
  const batches = Map.groupBy(rows, ({ pid, call }) => `${pid} ${call}`)
  const sorted = [...batches.values()].toSorted((a, b) => (a[0]?.atMs ?? 0) - (b[0]?.atMs ?? 0))
  return sorted.map(batch => batch.map(({ id }) => id))
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
