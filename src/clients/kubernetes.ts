/** The Kubernetes API as far as the agent needs it: its own pod, through `pods/resize`, and one annotation of it where that is wanted. */
import { isIPv6 } from 'node:net'
import type { Clock } from '../clock.ts'
import type { PodConfig } from '../config.ts'
import { StokerError } from '../errors.ts'
import type { MemoryResources, PodState } from '../model.ts'
import { formatBytes } from '../quantity.ts'
import { fieldManager, podState } from './kubernetes/pod.ts'
import { annotating, refusalOf, resizing, type Ask } from './kubernetes/refusal.ts'
import { TokenFile } from './kubernetes/token-file.ts'
import { parse } from './reply.ts'
import { Wire, within, type Call, type Faults, type Reply } from './wire.ts'

export { KubernetesError } from './kubernetes/refusal.ts'

/** Where the API server is, and who the agent is; a pod knows all of it from its environment and its mounts. */
export interface KubernetesConfig extends PodConfig {
  /** The longest that one call may take, from reading the token to the last byte. */
  timeoutMs: number
}

/**
 * All calls throw KubernetesError for every answer but 200, and StokerError (KUBERNETES_UNREACHABLE, _TIMEOUT, _TLS,
 * _NOT_KUBERNETES, _REPLY_TOO_LARGE, _TOKEN_UNREADABLE, RESIZE_CONTAINER_UNKNOWN) when there was none to be understood.
 * After _UNREACHABLE, _TIMEOUT, _FAILED and _REPLY_TOO_LARGE a change may have been made: read.
 */
export interface Kubernetes {
  /** The pod's address, for messages. */
  readonly url: string
  /** The pod as it is, by a patch that changes nothing: it needs no right to read pods, and fails as a resize would. */
  read(): Promise<PodState>
  /**
   * Asks for other amounts; what is left out stays. Resolves with the pod as the API server has stored it, before the kubelet
   * has seen it. `unchangedSince`: a resourceVersion; if anybody, the kubelet included, has written since, RESIZE_CONFLICT.
   */
  resize(
    to: { requestBytes?: number; limitBytes?: number },
    fence?: { unchangedSince: string },
  ): Promise<PodState>
  /**
   * Writes what it would cost to lose the pod, a whole number, by which a ReplicaSet chooses the pods that go first. It takes the
   * right to patch pods.
   */
  setDeletionCost(cost: number): Promise<void>
  /** Ends all connections; calls under way fail. */
  close(): Promise<void>
}

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
const MOST_BYTES = 1_048_576

const faults: Faults = {
  unreachable: 'KUBERNETES_UNREACHABLE',
  timeout: 'KUBERNETES_TIMEOUT',
  tls: 'KUBERNETES_TLS',
  tooLarge: 'KUBERNETES_REPLY_TOO_LARGE',
  notHttp: 'KUBERNETES_NOT_KUBERNETES',
}

export function createKubernetes(config: KubernetesConfig, clock: Clock): Kubernetes {
  return new Client(config, clock)
}

class Client implements Kubernetes {
  readonly url: string
  readonly #config: KubernetesConfig
  readonly #clock: Clock
  readonly #wire: Wire
  readonly #tokens: TokenFile
  readonly #path: string

  constructor(config: KubernetesConfig, clock: Clock) {
    const host = isIPv6(config.host) ? `[${config.host}]` : config.host
    this.#config = config
    this.#clock = clock
    this.#wire = new Wire({
      base: new URL(`https://${host}:${config.port}`),
      faults,
      caFile: config.caFile,
      connectMs: config.timeoutMs,
      maxBytes: MOST_BYTES,
      connections: 1,
    })
    this.#tokens = new TokenFile(config.tokenFile, clock)
    const [namespace, pod] = [config.namespace, config.pod].map(encodeURIComponent)
    this.#path = `/api/v1/namespaces/${namespace}/pods/${pod}`
    this.url = this.#wire.url(this.#path)
  }

  read(): Promise<PodState> {
    return this.#resize({ metadata: { uid: this.#config.uid } }, nothing)
  }

  /** Throws RangeError unless there is an amount and each is a whole positive number of bytes. */
  async resize(
    { requestBytes, limitBytes }: { requestBytes?: number; limitBytes?: number },
    fence?: { unchangedSince: string },
  ): Promise<PodState> {
    const amounts = [requestBytes, limitBytes].filter(amount => amount !== undefined)
    if (amounts.length === 0 || amounts.some(bytes => !Number.isSafeInteger(bytes) || bytes <= 0)) {
      throw new RangeError(`A resize needs whole positive bytes, not ${amounts.join(' and ')}`)
    }
    const { uid, container: name } = this.#config
    // Never a null: it would not remove the request but raise it to the limit.
    const resources = {
      ...(requestBytes === undefined ? {} : { requests: { memory: formatBytes(requestBytes) } }),
      ...(limitBytes === undefined ? {} : { limits: { memory: formatBytes(limitBytes) } }),
    }
    const metadata = fence ? { uid, resourceVersion: fence.unchangedSince } : { uid }
    return this.#resize(
      { metadata, spec: { containers: [{ name, resources }] } },
      { requestBytes, limitBytes },
    )
  }

  async setDeletionCost(cost: number): Promise<void> {
    const annotations = { [DELETION_COST]: String(cost) }
    const body = { metadata: { uid: this.#config.uid, annotations } }
    await this.#patch(this.#path, body, annotating, nothing)
  }

  close(): Promise<void> {
    return this.#wire.close()
  }

  async #resize(body: object, wanted: MemoryResources): Promise<PodState> {
    const path = `${this.#path}/resize`
    const json = await this.#patch(path, body, resizing, wanted)
    return podState(json, this.#config.container, `PATCH ${this.#wire.url(path)}`)
  }

  /** The pod after it, as JSON. */
  #patch(path: string, body: object, ask: Ask, wanted: MemoryResources): Promise<unknown> {
    const asked = `PATCH ${this.#wire.url(path)}`
    const limit = { clock: this.#clock, ms: this.#config.timeoutMs, asked, code: faults.timeout }
    return within(limit, async signal => {
      const reply = await this.#authorized({
        method: 'PATCH',
        path: `${path}?fieldManager=${fieldManager}&fieldValidation=Strict`,
        headers: {
          accept: 'application/json',
          'content-type': 'application/strategic-merge-patch+json',
        },
        body: JSON.stringify(body),
        signal,
      })
      const refusal = refusalOf(reply, ask, wanted)
      if (refusal) throw refusal
      const json = parse(reply.body)
      if (json === undefined) {
        throw new StokerError(faults.notHttp, `${asked} answered 200 without JSON`)
      }
      return json
    })
  }

  /** Once more with the file read anew when the token is refused: the kubelet may have just replaced it. */
  async #authorized(call: Call): Promise<Reply> {
    const token = await this.#tokens.token()
    const reply = await this.#wire.call(bearing(token, call))
    if (reply.status !== 401) return reply
    const renewed = await this.#tokens.reread()
    return renewed === token ? reply : this.#wire.call(bearing(renewed, call))
  }
}

const nothing: MemoryResources = { requestBytes: undefined, limitBytes: undefined }

function bearing(token: string, call: Call): Call {
  return { ...call, headers: { ...call.headers, authorization: `Bearer ${token}` } }
}
