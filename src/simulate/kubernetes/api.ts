/** The API server's pods/resize, and patches of a pod's annotations: from a request to an answer, in the order the real one checks things. */
import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import { Access } from './access.ts'
import { admit, type Identity, type Namespace, type NodeInfo } from './admission.ts'
import { refusalOf } from './annotations.ts'
import { Faults, type Answer } from './faults.ts'
import { changedFields, isSame } from './fields.ts'
import { sameSpec, type Pod } from './objects.ts'
import {
  decoded,
  hasBadQuantity,
  jsonMerge,
  resizedPod,
  strategicMerge,
  unknownFields,
} from './patch.ts'
import {
  badRequest,
  conflict,
  forbidden,
  invalid,
  isInvalid,
  methodNotAllowed,
  pathNotFound,
  podNotFound,
  unauthorized,
  undecodable,
  unsupportedMediaType,
  type Response,
} from './status.ts'
import { Store } from './store.ts'
import { validateResize } from './validation.ts'
import { versions, type Profile, type Version } from './versions.ts'

export interface Request {
  method: string
  /** Path and query as sent. */
  target: string
  headers: Readonly<Record<string, string | undefined>>
  body: string
}

interface Asked {
  request: Request
  query: URLSearchParams
  by: Identity
  pod: Pod
}

const verbs: Readonly<Record<string, string>> = {
  GET: 'get',
  PUT: 'update',
  PATCH: 'patch',
  POST: 'create',
  DELETE: 'delete',
}
const MERGES: Readonly<Record<string, (target: unknown, patch: unknown) => unknown>> = {
  'application/strategic-merge-patch+json': strategicMerge,
  'application/merge-patch+json': jsonMerge,
}

/** From a request to the API server’s answer: 8 to 10 ms on a real one. */
const LATENCY_MS = 8

export class ApiServer {
  readonly store: Store
  readonly access: Access
  readonly faults = new Faults()
  readonly nodes = new Map<string, NodeInfo>()
  /** Whether Stoker's policy is installed. */
  ownPodPolicy = true
  readonly #namespaces = new Map<string, Namespace>()
  readonly #clock: Clock
  readonly #profile: Profile

  constructor(clock: Clock, random: Random, version: Version) {
    this.#clock = clock
    this.#profile = versions[version]
    this.store = new Store(clock, random)
    this.access = new Access(clock, random, this.store)
  }

  namespace(name: string): Namespace {
    const known = this.#namespaces.get(name) ?? { limitRanges: [], quotas: [] }
    this.#namespaces.set(name, known)
    return known
  }

  async handle(request: Request): Promise<Answer> {
    await this.#clock.sleep(LATENCY_MS)
    return this.faults.pass(request, this.#clock, () => this.#answer(request))
  }

  #answer(request: Request): Response {
    const url = new URL(request.target, 'https://kubernetes')
    const by = this.access.identify(request.headers['authorization'])
    if (!by) return unauthorized()
    const path = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)(?:\/(\w+))?$/.exec(url.pathname)
    const [, namespace = '', name = '', subresource] = path ?? []
    if (!path) return pathNotFound()
    const isResize = subresource === 'resize'
    const isPod = subresource === undefined
    const may =
      (isResize && this.access.mayResize(by, namespace)) ||
      (isPod && this.access.mayPatch(by, namespace))
    const mayPatch = may && request.method === 'PATCH'
    if (!mayPatch && !by.exempt) {
      const resource = isPod ? 'pods' : `pods/${subresource}`
      const why = `User "${by.user}" cannot ${verbs[request.method]} resource "${resource}" in API group "" in the namespace "${namespace}"`
      return forbidden(name, why)
    }
    if (!isPod && !(isResize && this.#profile.resize)) return pathNotFound()
    const pod = this.store.get(namespace, name)
    if (request.method === 'GET') return pod ? { status: 200, body: pod } : podNotFound(name)
    if (isPod && request.method !== 'PATCH') return methodNotAllowed()
    const merge = MERGES[mediaType(request)]
    const isPut = request.method === 'PUT' && mediaType(request) === 'application/json'
    if (!merge && !isPut) return unsupportedMediaType()
    if (!pod) return podNotFound(name)
    const asked = { request, query: url.searchParams, by, pod }
    const sent = mergedOf(asked, merge)
    if ('status' in sent) return sent
    return isPod ? this.#annotate(asked, sent) : this.#resize(asked, sent)
  }

  #annotate({ request, query, by, pod }: Asked, { merged }: Sent): Response {
    const bound = this.ownPodPolicy && !by.exempt
    const refusal = refusalOf(pod, merged, by, bound)
    if (refusal) return refusal
    const { annotations, labels } = merged.metadata
    const isSameAsBefore =
      isSame(pod.metadata.annotations, annotations) && isSame(pod.metadata.labels, labels)
    if (isSameAsBefore || query.get('dryRun') === 'All') return { status: 200, body: pod }
    const manager = query.get('fieldManager') ?? writerOf(request)
    return { status: 200, body: this.store.annotate(pod, merged.metadata, manager) }
  }

  #resize({ request, query, by, pod }: Asked, { merged, unknown }: Sent): Response {
    const { name, namespace, uid } = pod.metadata
    const changed = resizedPod(pod, merged)
    const findings = validateResize(pod, changed, this.#profile)
    if (findings.length > 0) return invalid(name, findings)
    const refusal = admit({
      old: pod,
      changed,
      changes: !sameSpec(pod.spec, changed.spec),
      by,
      profile: this.#profile,
      nodes: this.nodes,
      namespace: this.namespace(namespace),
      others: this.store
        .all()
        .filter(each => each.metadata.namespace === namespace && each.metadata.uid !== uid),
      ownPodPolicy: this.ownPodPolicy,
    })
    if (refusal) return refusal
    const headers = unknown.length > 0 ? { warning: `299 - ${JSON.stringify(unknown[0])}` } : {}
    const manager = query.get('fieldManager') ?? writerOf(request)
    return { status: 200, headers, body: this.#stored(pod, changed, merged, manager, query) }
  }

  /** Nothing is written for a patch that changes nothing; one of fields that are dropped still says who sent it. */
  #stored(pod: Pod, changed: Pod, merged: Pod, manager: string, query: URLSearchParams): Pod {
    const metadata = { ...merged.metadata, managedFields: pod.metadata.managedFields }
    const fields =
      changedFields(pod, { ...merged, metadata }) ??
      changedFields({ spec: pod.spec }, { spec: changed.spec })
    if (!fields) return pod
    return query.get('dryRun') === 'All'
      ? this.store.wouldBe(pod, changed.spec, fields, manager)
      : this.store.resize(pod, changed.spec, fields, manager)
  }
}

/** The pod as a request would have it, and fields that Kubernetes does not have. */
interface Sent {
  merged: Pod
  unknown: readonly string[]
}

function mergedOf(
  { request, query, pod }: Asked,
  merge: ((target: unknown, patch: unknown) => unknown) | undefined,
): Sent | Response {
  const { name, uid, resourceVersion } = pod.metadata
  let sent: unknown
  try {
    sent = JSON.parse(request.body)
  } catch {
    return badRequest('unexpected end of JSON input')
  }
  const unknown = unknownFields(sent).map(field => `unknown field "${field}"`)
  if (hasBadQuantity(sent)) return undecodable(sent, BAD_QUANTITY)
  if (unknown.length > 0 && query.get('fieldValidation') === 'Strict') {
    return undecodable(sent, `strict decoding error: ${unknown.join(', ')}`)
  }
  // What is not a pod any more is found by validation, as the real one finds it.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const merged = decoded((merge ? merge(pod, sent) : sent) as Pod)
  if (merged.metadata.name !== name) {
    const why = `the name of the object (${merged.metadata.name}) does not match the name on the URL (${name})`
    return badRequest(why)
  }
  if (merged.metadata.uid !== uid) {
    const fixed = isInvalid('metadata.uid', merged.metadata.uid, 'field is immutable')
    return invalid(name, [fixed, fixed])
  }
  if (merged.metadata.resourceVersion !== resourceVersion) return conflict(name)
  return { merged, unknown }
}

const BAD_QUANTITY =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

function mediaType({ headers }: Request): string {
  return (headers['content-type'] ?? '').replace(/;.*$/, '')
}

/** Who does not say which field manager it is goes by its user agent. */
function writerOf({ headers }: Request): string {
  return /^[^/\s]+/.exec(headers['user-agent'] ?? '')?.[0] ?? 'unknown'
}
