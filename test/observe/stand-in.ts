import { StokerError, type ErrorCode } from '../../src/errors.ts'

/** One version in a describe reply, with workers of these ids. */
export interface Served {
  version: string
  workers?: { id: string; pid?: number; ready?: boolean; gpu?: boolean }[]
  pending?: number
}

/** A TorchServe without a network, on a clock moved by hand; each question is written down. */
export function standIn() {
  const state = {
    nowMs: 1_000_000,
    models: new Map<string, Served[]>(),
    defaults: new Map<string, string>(),
    /** What the metrics port answers to names, and what the whole page is. */
    named: '',
    page: '# TYPE ts_inference_requests_total counter\n',
    /** By question, such as `list` or `describe m`: the error it meets, and the time it takes. */
    faults: new Map<string, unknown>(),
    takesMs: new Map<string, number>(),
    asked: [] as string[],
    health: 'healthy' as 'healthy' | 'unhealthy',
    underWay: 0,
    most: 0,
  }
  const answer = async <T>(question: string, reply: () => T): Promise<T> => {
    state.asked.push(question)
    state.underWay++
    state.most = Math.max(state.most, state.underWay)
    await new Promise(resolve => setImmediate(resolve))
    state.nowMs += state.takesMs.get(question) ?? 0
    state.underWay--
    const met = state.faults.get(question)
    if (met !== undefined) throw met
    return reply()
  }
  const describe = (model: string, versions: readonly Served[]) =>
    versions.map(({ version, workers = [], pending = 0 }) => ({
      modelName: model,
      modelVersion: version,
      minWorkers: workers.length,
      maxWorkers: workers.length,
      workers: workers.map(({ id, pid, ready = true, gpu = false }) => ({
        id,
        pid,
        gpu,
        status: ready ? 'READY' : 'UNLOADING',
      })),
      jobQueueStatus: { pendingRequests: pending, remainingCapacity: 100 - pending },
    }))
  const served = (model: string) => {
    const versions = state.models.get(model)
    if (!versions) throw new StokerError('TORCHSERVE_NOT_FOUND', `Model not found: ${model}`)
    return versions
  }
  const torchserve = {
    url: 'http://torchserve',
    ping: () => Promise.resolve(state.health),
    metrics: (names: readonly string[]) =>
      answer(names.length > 0 ? 'metrics' : 'page', () =>
        names.length > 0 ? state.named : state.page,
      ),
    listModels: () => answer('list', () => [...state.models.keys()]),
    describe: (model: string) => answer(`describe ${model}`, () => describe(model, served(model))),
    describeDefault: (model: string) =>
      answer(`default ${model}`, () =>
        describe(
          model,
          served(model).filter(({ version }) => version === state.defaults.get(model)),
        ),
      ),
  }
  const clock = { now: () => state.nowMs, sleep: async () => {} }
  /** The questions since the last call. */
  const questions = () => state.asked.splice(0)
  return { state, torchserve, clock, questions }
}

export function fault(code: ErrorCode): StokerError {
  return new StokerError(code, `GET http://torchserve: ${code}`)
}

/** The three counters of a model as TorchServe prints them: each request took 1 ms, half of it waiting. */
export function counters(model: string, requests: number, version = 'default'): string {
  const labels = `{model_name="${model}",model_version="${version}",hostname="vm",}`
  return [
    `ts_inference_requests_total${labels} ${requests}.0`,
    `ts_inference_latency_microseconds${labels} ${1000 * requests}.0`,
    `ts_queue_latency_microseconds${labels} ${500 * requests}.0`,
    '',
  ].join('\n')
}
