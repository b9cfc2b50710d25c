/**
 * Takes workers of a real TorchServe away and gives them back, again and again, under open-loop load, and counts what that
 * did to the clients. The actuator is the agent's own.
 */
import { guardProcess } from '../../src/actuate/stopping.ts'
import { actuated } from '../../src/actuate/torchserve.ts'
import { createWorkersActuator } from '../../src/actuate/workers.ts'
import { linuxProcesses, type Processes } from '../../src/clients/processes.ts'
import { createTorchServe } from '../../src/clients/torchserve.ts'
import { wallClock as clock } from '../../src/clock.ts'
import { parseConfig, policyFor } from '../../src/config.ts'
import type { Action, Description, Outcome } from '../../src/model.ts'
import { readDescriptions } from '../../src/observe/describe.ts'
import type { ModelSpec } from './models.ts'
import { startTorchServe, type TorchServe } from './torchserve.ts'
import { judge, startTraffic, type Sent } from './traffic.ts'
import { until } from './until.ts'

/** How a worker is taken: a bare PUT, or by what the actuator may see and do. */
type Way = 'plain' | 'retire' | 'edge' | 'gap'

export interface Round {
  way: Way
  rps: number
  workers: number
  downs: number
  /** Attempts that find no moment count here, so that a way that never finds one ends. */
  attempts: number
  batch?: { size: number; delayMs: number }
  seed: number
}

export interface Result {
  way: Way
  rps: number
  downs: number
  abandoned: number
  sent: number
  /** 5xx or reset. */
  lost: number
  hung: number
  repeated: number
  /** Requests that began more than 100 ms after they were sent, among those sent while a worker was being taken. */
  late: number
  sentMeanwhile: number
  /** The same among all others: what the machine does by itself. */
  lateOtherwise: number
  sentOtherwise: number
  tries: number
  tookP50Ms: number
  tookMaxMs: number
  slowestMs: number
  lagP99Ms: number
}

const SERVICE_MS = 100
const LATE_MS = 100
const HUNG_MS = 10_000
const BETWEEN_MS = 600
/** Sees nothing, as without a shared PID namespace. */
const blind: Processes = {
  look: () => 'hidden',
  thread: () => undefined,
  siblings: () => [],
  use: () => undefined,
  still: () => undefined,
  isWorker: () => undefined,
  signal: () => false,
}

function modelOf({ workers, batch }: Round): ModelSpec {
  const batching = batch ? { batchSize: batch.size, maxBatchDelay: batch.delayMs } : {}
  const config = { minWorkers: workers, maxWorkers: workers, ...batching }
  return { name: 'm', behaviour: { serviceMs: SERVICE_MS }, config }
}

/** The agent's own client and actuator; `processes` wraps its sight of them. */
export function actuatorBeside(
  server: Pick<TorchServe, 'managementUrl' | 'metricsUrl' | 'inferenceUrl'>,
  way: Way,
  processes: (real: Processes) => Processes = real => real,
) {
  const config = parseConfig({
    STOKER_MANAGEMENT_URL: server.managementUrl.origin,
    STOKER_METRICS_URL: server.metricsUrl.origin,
    STOKER_INFERENCE_URL: server.inferenceUrl.origin,
    STOKER_MODELS: JSON.stringify({ m: { decoys: way === 'edge' ? 'off' : 'on' } }),
    STOKER_TIMEOUT_MS: '10000',
  })
  const torchserve = createTorchServe(config, clock)
  const actuator = createWorkersActuator({
    torchserve: actuated(torchserve, config),
    processes: way === 'gap' ? blind : processes(linuxProcesses()),
    openGuard: guardProcess,
    clock,
    policyOf: name => policyFor(config, name),
    advise: false,
  })
  return { torchserve, actuator }
}

export async function takeWorkers(round: Round): Promise<Result> {
  const server = await startTorchServe({ models: [modelOf(round)] })
  const { torchserve, actuator } = actuatorBeside(server, round.way)
  const describe = async (): Promise<Description> => {
    const [pool] = readDescriptions(await torchserve.describe('m'), 'm')
    if (!pool) throw new Error('the model is not listed')
    return pool
  }
  const traffic = startTraffic({
    url: `${server.inferenceUrl.origin}/predictions/m`,
    rps: round.rps,
    seed: round.seed,
    timeoutMs: HUNG_MS,
  })
  const spans: { fromMs: number; toMs: number }[] = []
  const outcomes: Outcome[] = []
  try {
    await clock.sleep(1_000)
    while (outcomes.filter(wasRemoved).length < round.downs && outcomes.length < round.attempts) {
      // A worker that has just come has no job yet, and taking it at once would show nothing.
      await clock.sleep(BETWEEN_MS)
      const description = await describe()
      const action: Action = {
        kind: round.way === 'plain' ? 'rollback' : 'shrink',
        pool: description.id,
        key: 'm',
        from: round.workers,
        to: round.workers - 1,
      }
      const fromMs = Date.now()
      actuator.start(action, { description, serviceMs: SERVICE_MS })
      await actuator.settled()
      outcomes.push(...actuator.outcomes())
      spans.push({ fromMs, toMs: Date.now() })
      await torchserve.scale(description.id, round.workers)
      const back = async () =>
        (await describe()).workers.filter(each => each.ready).length === round.workers
      if (!(await until(back, 30_000))) throw new Error('the worker did not come back')
    }
    const report = await traffic.stop()
    return summarise(
      round,
      outcomes,
      spans,
      judge(report, server.log('m').executions),
      report.requests,
      server.log('m').executions,
    )
  } finally {
    await torchserve.close()
    await server.stop()
  }
}

function wasRemoved({ kind }: Outcome): boolean {
  return kind === 'removed' || kind === 'commanded'
}

function summarise(
  round: Round,
  outcomes: readonly Outcome[],
  spans: readonly { fromMs: number; toMs: number }[],
  verdict: ReturnType<typeof judge>,
  requests: readonly Sent[],
  executions: readonly { id: string; beginMs: number }[],
): Result {
  const begun = new Map(executions.map(({ id, beginMs }) => [id, beginMs]))
  const waited = round.batch?.delayMs ?? 0
  const isLate = ({ id, sentMs }: Sent) => (begun.get(id) ?? sentMs) - sentMs > LATE_MS + waited
  const meanwhile = requests.filter(({ sentMs }) =>
    spans.some(({ fromMs, toMs }) => sentMs >= fromMs && sentMs <= toMs),
  )
  const removed = outcomes.filter(outcome => outcome.kind === 'removed')
  const took = removed.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b)
  const late = meanwhile.filter(isLate).length
  return {
    way: round.way,
    rps: round.rps,
    downs: outcomes.filter(wasRemoved).length,
    abandoned: outcomes.length - outcomes.filter(wasRemoved).length,
    sent: verdict.sent,
    lost: verdict.lost.length,
    hung: verdict.hung.length,
    repeated: verdict.repeated.length,
    late,
    sentMeanwhile: meanwhile.length,
    lateOtherwise: requests.filter(isLate).length - late,
    sentOtherwise: requests.length - meanwhile.length,
    tries: removed.reduce((sum, { tries }) => sum + tries, 0),
    tookP50Ms: Math.round(took[Math.floor(took.length / 2)] ?? 0),
    tookMaxMs: Math.round(took.at(-1) ?? 0),
    slowestMs: Math.round(verdict.latencyMs.max),
    lagP99Ms: Math.round(verdict.lagP99Ms),
  }
}
