/** TorchServe's management, metrics and inference APIs: what the agent asks there, with limits and clear errors. */
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { StokerError } from '../errors.ts'
import type { PoolId } from '../model.ts'
import { faultOf, isObject, isTokenRefused, isUnknownPath, jsonOf, pageOf } from './reply.ts'
import { KeyFile } from './token.ts'
import type { KeyKind } from './token.ts'
import { Wire, within } from './wire.ts'
import type { Call, Faults, Reply } from './wire.ts'

/**
 * Every call takes at most `timeoutMs` in all, renewals and repeats included, and throws StokerError:
 * TORCHSERVE_UNREACHABLE, _TIMEOUT, _UNAUTHORIZED, _TLS, _NOT_TORCHSERVE, _NOT_FOUND, _REFUSED, _FAILED, _REPLY_TOO_LARGE,
 * or KEY_FILE_UNREADABLE.
 */
export interface TorchServe {
  /** The management address, for messages. */
  readonly url: string
  /**
   * The metrics page in Prometheus text. TorchServe leaves out families that have no sample of these names; without names it
   * gives the whole page, where such families keep their HELP and TYPE lines. 4 MiB at most.
   */
  metrics(names: readonly string[]): Promise<string>
  /** Names of all models, 2000 at most. */
  listModels(): Promise<string[]>
  /** All versions of a model, as TorchServe tells it; only the default one where it shares one address with inference. */
  describe(model: string): Promise<unknown>
  /** The default version of a model, as TorchServe tells it: an array of one. */
  describeDefault(model: string): Promise<unknown>
  /**
   * Sets minimum and maximum to `workers`. Returns when TorchServe has accepted, not when the workers are there. After
   * TORCHSERVE_TIMEOUT it may still obey, once it reads what it was sent.
   */
  scale(pool: PoolId, workers: number): Promise<void>
  ping(): Promise<'healthy' | 'unhealthy'>
  /** The header that opens a port; empty without a key file. */
  authorization(kind: KeyKind): Promise<Record<string, string>>
  /** Ends all connections; calls under way fail. */
  close(): Promise<void>
}

export type TorchServeConfig = Pick<
  Config,
  'managementUrl' | 'metricsUrl' | 'inferenceUrl' | 'caFile' | 'keyFile' | 'timeoutMs'
>

const MiB = 1_048_576
const pageSize = 100
const maxPages = 20

const faults: Faults = {
  unreachable: 'TORCHSERVE_UNREACHABLE',
  timeout: 'TORCHSERVE_TIMEOUT',
  tls: 'TORCHSERVE_TLS',
  tooLarge: 'TORCHSERVE_REPLY_TOO_LARGE',
  notHttp: 'TORCHSERVE_NOT_TORCHSERVE',
}

export function createTorchServe(config: TorchServeConfig, clock: Clock): TorchServe {
  return new Client(config, clock)
}

class Client implements TorchServe {
  readonly url: string
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #management: Wire
  readonly #metrics: Wire
  readonly #inference: Wire
  readonly #keys: KeyFile
  /** Whether paths with a version are served; TorchServe has none where inference and management share one address. */
  #versionPaths = true

  constructor(config: TorchServeConfig, clock: Clock) {
    this.#clock = clock
    this.#timeoutMs = config.timeoutMs
    const { caFile, timeoutMs: connectMs } = config
    const wire = (base: URL, connections: number, maxBytes: number) =>
      new Wire({ base, faults, caFile, connectMs, maxBytes, connections })
    // The looks of each second use four of them; a change, or a stopped worker’s proof, shall not wait behind those.
    this.#management = wire(config.managementUrl, 8, MiB)
    this.#metrics = wire(config.metricsUrl, 1, 4 * MiB)
    this.#inference = wire(config.inferenceUrl, 1, MiB)
    this.#keys = new KeyFile({
      path: config.keyFile,
      clock,
      renew: (kind, apiKey) => this.#renew(kind, apiKey),
    })
    this.url = this.#management.url('')
  }

  metrics(names: readonly string[]): Promise<string> {
    const query = names.map(name => `name[]=${encodeURIComponent(name)}`).join('&')
    const path = query ? `/metrics?${query}` : '/metrics'
    return this.#within(this.#metrics, 'GET', path, async signal =>
      pageOf(await this.#metrics.call({ method: 'GET', path, signal })),
    )
  }

  listModels(): Promise<string[]> {
    const path = `/models?limit=${pageSize}`
    return this.#within(this.#management, 'GET', path, async signal => {
      const names = new Set<string>()
      let next: string | undefined
      for (let page = 0; page < maxPages; page++) {
        const token = next === undefined ? '' : `&next_page_token=${encodeURIComponent(next)}`
        const reply = await this.#manage({ method: 'GET', path: path + token, signal })
        const list = modelList(jsonOf(reply, 'models'), reply.asked)
        for (const name of list.names) names.add(name)
        next = list.next
        if (next === undefined) return [...names]
      }
      const limit = `${this.#management.url(path)}: more than ${maxPages * pageSize} models`
      throw new StokerError('TORCHSERVE_REPLY_TOO_LARGE', limit)
    })
  }

  describe(model: string): Promise<unknown> {
    const path = `/models/${encodeURIComponent(model)}`
    return this.#within(this.#management, 'GET', `${path}/all`, async signal =>
      jsonOf(await this.#versioned({ method: 'GET', path: `${path}/all`, signal }, path), 'model'),
    )
  }

  describeDefault(model: string): Promise<unknown> {
    const path = `/models/${encodeURIComponent(model)}`
    return this.#within(this.#management, 'GET', path, async signal =>
      jsonOf(await this.#manage({ method: 'GET', path, signal }), 'model'),
    )
  }

  /** Throws RangeError unless `workers` is a whole number from 0: TorchServe kills every worker when told -1. */
  async scale({ model, version }: PoolId, workers: number): Promise<void> {
    if (!Number.isSafeInteger(workers) || workers < 0) {
      throw new RangeError(`The number of workers must be whole and not negative, not ${workers}`)
    }
    const base = `/models/${encodeURIComponent(model)}`
    const v = encodeURIComponent(version)
    // Both, and equal: TorchServe starts workers up to the minimum and kills down to the maximum.
    const count = `min_worker=${workers}&max_worker=${workers}`
    const path = `${base}/${v}?${count}`
    const short = `${base}?model_version=${v}&${count}`
    await this.#within(this.#management, 'PUT', path, async signal => {
      jsonOf(await this.#versioned({ method: 'PUT', path, signal }, short), 'model')
    })
  }

  ping(): Promise<'healthy' | 'unhealthy'> {
    return this.#within(this.#inference, 'GET', '/ping', async signal => {
      const call: Call = { method: 'GET', path: '/ping', signal }
      const reply = await this.#authorized(this.#inference, 'inference', call)
      const json = reply.status === 500 ? unhealthyOf(reply) : jsonOf(reply, 'ping')
      const status = isObject(json) ? json['status'] : undefined
      if (status === 'Healthy') return 'healthy'
      if (typeof status === 'string') return 'unhealthy'
      throw notTorchServe(reply, 'without a "status"')
    })
  }

  authorization(kind: KeyKind): Promise<Record<string, string>> {
    return this.#keys.authorization(kind)
  }

  async close(): Promise<void> {
    await Promise.all([this.#management, this.#metrics, this.#inference].map(wire => wire.close()))
  }

  #within<T>(
    wire: Wire,
    method: string,
    path: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const asked = `${method} ${wire.url(path)}`
    return within({ clock: this.#clock, ms: this.#timeoutMs, asked, code: faults.timeout }, work)
  }

  #manage(call: Call): Promise<Reply> {
    return this.#authorized(this.#management, 'management', call)
  }

  /** Asks by the path with a version, or by `short` where TorchServe serves no such paths. */
  async #versioned(call: Call, short: string): Promise<Reply> {
    if (this.#versionPaths) {
      const reply = await this.#manage(call)
      if (!isUnknownPath(reply)) return reply
    }
    const reply = await this.#manage({ ...call, path: short })
    this.#versionPaths = reply.status >= 300
    return reply
  }

  /** Once more with the file read anew when the token is refused: TorchServe may have just replaced it. */
  async #authorized(wire: Wire, kind: KeyKind, call: Call): Promise<Reply> {
    const headers = await this.#keys.authorization(kind)
    const reply = await wire.call({ ...call, headers })
    if (!isTokenRefused(reply)) return reply
    this.#keys.forget()
    const again = await this.#keys.authorization(kind)
    if (again['Authorization'] === headers['Authorization']) return reply
    return wire.call({ ...call, headers: again })
  }

  #renew(kind: KeyKind, apiKey: string): Promise<void> {
    const path = `/token?type=${kind}`
    return this.#within(this.#management, 'GET', path, async signal => {
      const headers = { Authorization: `Bearer ${apiKey}` }
      const reply = await this.#management.call({ method: 'GET', path, headers, signal })
      const fault = faultOf(reply, 'models')
      if (fault) throw fault
    })
  }
}

/** The names of a `GET /models` reply and the token of the next page. Throws TORCHSERVE_NOT_TORCHSERVE. */
function modelList(json: unknown, asked: string): { names: string[]; next: string | undefined } {
  const models = isObject(json) ? json['models'] : undefined
  const names = Array.isArray(models)
    ? models.map((entry: unknown) => (isObject(entry) ? entry['modelName'] : undefined))
    : [undefined]
  const next = isObject(json) ? (json['nextPageToken'] ?? undefined) : undefined
  if (!isStrings(names) || (next !== undefined && typeof next !== 'string')) {
    const said = `${asked} answered no list of models ({"models": [{"modelName": …}]})`
    throw new StokerError('TORCHSERVE_NOT_TORCHSERVE', said)
  }
  return { names, next }
}

function isStrings(values: unknown[]): values is string[] {
  return values.every(value => typeof value === 'string')
}

/** `/ping` says Unhealthy with status 500, which is an answer and no error. */
function unhealthyOf(reply: Reply): unknown {
  return reply.body.includes('"status"')
    ? jsonOf({ ...reply, status: 200 }, 'ping')
    : jsonOf(reply, 'ping')
}

function notTorchServe(reply: Reply, why: string): StokerError {
  return new StokerError(
    'TORCHSERVE_NOT_TORCHSERVE',
    `${reply.asked} answered ${reply.status} ${why}`,
  )
}
