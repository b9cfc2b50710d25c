/** What TorchServe says of a model, turned into descriptions; older TorchServes say less. */
import { isObject } from '../clients/reply.ts'
import { StokerError } from '../errors.ts'
import type { Description, Refusal, Worker } from '../model.ts'
import { readGpuUsage } from './gpu/usage.ts'

/** TorchServe's own defaults, for versions that have the setting but do not tell it; in seconds. */
const responseTimeoutS = 120
const maxRetryTimeoutS = 300

/**
 * Reads a describe reply: one description for each version, in TorchServe's order. A single version is the default one;
 * of several it is `defaultVersion`. Whether workers are alive is not known here.
 * Throws TORCHSERVE_NOT_TORCHSERVE naming the field that is missing or of the wrong type. `asked` says whose reply it is.
 */
export function readDescriptions(
  reply: unknown,
  asked: string,
  defaultVersion?: string,
): Description[] {
  const versions = new Fields(asked, { reply }).list('reply', fields => fields)
  return versions.map(fields => {
    const version = fields.text('modelVersion')
    const responseTimeout = fields.number('responseTimeout', responseTimeoutS)
    const queue = fields.inner('jobQueueStatus')
    return {
      id: { model: fields.text('modelName'), version },
      isDefault: versions.length === 1 || version === defaultVersion,
      // Both are -1 after somebody asked for -1 workers, which killed all of them.
      minWorkers: Math.max(0, fields.number('minWorkers')),
      maxWorkers: Math.max(0, fields.number('maxWorkers')),
      batchSize: Math.max(1, fields.number('batchSize', 1)),
      maxBatchDelayMs: Math.max(0, fields.number('maxBatchDelay', 100)),
      responseTimeoutMs: responseTimeout * 1000,
      // Before it became a setting of its own, loading was given as long as an answer.
      startupTimeoutMs: fields.number('startupTimeout', responseTimeout) * 1000,
      maxRetryMs: fields.number('maxRetryTimeoutInSec', maxRetryTimeoutS) * 1000,
      workers: fields.list('workers', readWorker),
      pending: queue?.number('pendingRequests'),
      queueFree: queue?.number('remainingCapacity'),
      refusal: readRefusal(fields),
      device: readDevice(fields.text('deviceType', '')),
    }
  })
}

function readWorker(fields: Fields): Worker {
  const pid = fields.number('pid', -1)
  const memory = fields.number('memoryUsage', 0)
  return {
    id: fields.text('id'),
    pid: pid > 0 ? pid : undefined,
    ready: fields.text('status') === 'READY',
    alive: undefined,
    use: undefined,
    gpu: fields.flag('gpu'),
    gpuUse: readGpuUsage(fields.text('gpuUsage', '')),
    memoryBytes: memory > 0 ? memory : undefined,
  }
}

function readDevice(text: string): Description['device'] {
  return text === 'cpu' || text === 'gpu' ? text : undefined
}

function readRefusal(fields: Fields): Refusal | undefined {
  if (fields.flag('stateful')) return 'stateful'
  if (fields.number('parallelLevel', 0) > 0 || fields.text('parallelType', '') !== '') {
    return 'parallel'
  }
  if (fields.flag('continuousBatching')) return 'continuous_batching'
  return fields.flag('useJobTicket') ? 'job_ticket' : undefined
}

/** Typed access to one JSON object; its errors name the place. */
class Fields {
  readonly #place: string
  readonly #object: Record<string, unknown>

  constructor(place: string, object: Record<string, unknown>) {
    this.#place = place
    this.#object = object
  }

  /** A missing field is its `absent`, and an error where there is none. */
  number(name: string, absent?: number): number {
    const value = this.#object[name] ?? absent
    if (typeof value === 'number' && Number.isFinite(value)) return value
    throw this.#wrong(name, value, 'a number')
  }

  text(name: string, absent?: string): string {
    const value = this.#object[name] ?? absent
    if (typeof value === 'string') return value
    throw this.#wrong(name, value, 'a string')
  }

  flag(name: string): boolean {
    const value = this.#object[name] ?? false
    if (typeof value === 'boolean') return value
    throw this.#wrong(name, value, 'true or false')
  }

  /** Undefined when absent. */
  inner(name: string): Fields | undefined {
    const value = this.#object[name] ?? undefined
    if (value === undefined) return undefined
    if (!isObject(value)) throw this.#wrong(name, value, 'an object')
    return new Fields(`${this.#place}: ${name}`, value)
  }

  list<T>(name: string, read: (fields: Fields) => T): T[] {
    const value = this.#object[name]
    if (!Array.isArray(value)) throw this.#wrong(name, value, 'a list')
    return value.map((entry: unknown, index) => {
      const place = `${name}[${index}]`
      if (!isObject(entry)) throw this.#wrong(place, entry, 'an object')
      return read(new Fields(`${this.#place}: ${place}`, entry))
    })
  }

  #wrong(name: string, value: unknown, expected: string): StokerError {
    const found = value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100)
    const detail = `${this.#place}: ${name} is ${found}, expected ${expected}`
    return new StokerError('TORCHSERVE_NOT_TORCHSERVE', detail)
  }
}
