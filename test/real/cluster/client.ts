/** Calls of a Kubernetes API server by the tests themselves, independent of the client under test. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'

export interface Target {
  url: string
  /** PEM text to trust. */
  ca: string
  token: string
  /** Acts as this user; the token's owner must be allowed to. */
  user?: string
}

export const STRATEGIC = 'application/strategic-merge-patch+json'
const APPLY = 'application/apply-patch+yaml'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Whatever the server answers with: an object, a list, or a Status. */
export interface Body {
  kind?: string
  apiVersion?: string
  metadata?: Metadata
  /** Of a Status. */
  message?: string
  reason?: string
  [field: string]: unknown
}

export interface Metadata {
  name?: string
  namespace?: string
  uid?: string
  generation?: number
  deletionTimestamp?: string
  annotations?: Record<string, string>
  [field: string]: unknown
}

export interface Manifest extends Body {
  kind: string
  apiVersion: string
  metadata: Metadata & { name: string }
}

interface Reply {
  status: number
  body: Body
}

export interface Client {
  /** One call; whatever the status. `type` is the body's media type, JSON by default. Rejects without a whole answer in 10 s. */
  call(method: Method, path: string, body?: unknown, type?: string): Promise<Reply>
  /** As call(), throwing on any status from 400 on. */
  ok(method: Method, path: string, body?: unknown, type?: string): Promise<Body>
  /** Server-side apply of each object, in order; each is created or changed. Returns them as the server has them. */
  apply(...manifests: readonly Manifest[]): Promise<Body[]>
  /** The path of an object as its kind and names say. */
  pathOf(manifest: Pick<Manifest, 'kind' | 'apiVersion' | 'metadata'>): Promise<string>
  /** Looks until `condition` holds; the last answer then. Throws with that answer when it has not after `timeoutMs`. */
  waitFor(path: string, condition: (reply: Reply) => boolean, timeoutMs: number): Promise<Body>
}

const CALL_TIMEOUT_MS = 10_000
const POLL_MS = 25

export function createClient({ url, ca, token, user }: Target): Client {
  const dispatcher = new Agent({ connect: { ca } })
  const resources = new Map<string, Promise<Body>>()

  const client: Client = {
    async call(method, path, body, type = 'application/json') {
      const reply = await request(new URL(path, url), {
        method,
        dispatcher,
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
        headers: {
          authorization: `Bearer ${token}`,
          ...(user !== undefined && { 'impersonate-user': user }),
          ...(body !== undefined && { 'content-type': type }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      })
      return { status: reply.statusCode, body: parse(await reply.body.text()) }
    },

    async ok(method, path, body, type) {
      const reply = await client.call(method, path, body, type)
      if (reply.status < 400) return reply.body
      throw new Error(`${method} ${path}: ${reply.status} ${reply.body.message ?? ''}`)
    },

    async apply(...manifests) {
      const applied: Body[] = []
      for (const manifest of manifests) {
        const path = await client.pathOf(manifest)
        applied.push(
          await client.ok('PATCH', `${path}?fieldManager=test&force=true`, manifest, APPLY),
        )
      }
      return applied
    },

    async pathOf({ kind, apiVersion, metadata: { name, namespace = 'default' } }) {
      const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
      const known = resources.get(root) ?? client.ok('GET', root)
      resources.set(root, known)
      const { resources: listed } = (await known) as { resources?: Resource[] }
      const resource = listed?.find(each => each.kind === kind && !each.name.includes('/'))
      if (!resource) throw new Error(`The server has no ${kind} in ${apiVersion}`)
      const place = resource.namespaced ? `${root}/namespaces/${namespace}` : root
      return `${place}/${resource.name}/${name}`
    },

    async waitFor(path, condition, timeoutMs) {
      const deadline = performance.now() + timeoutMs
      for (;;) {
        const reply = await client.call('GET', path)
        if (condition(reply)) return reply.body
        if (performance.now() > deadline)
          throw new Error(
            `${path} is not as awaited after ${timeoutMs} ms: ${JSON.stringify(reply.body)}`,
          )
        await sleep(POLL_MS)
      }
    },
  }
  return client
}

interface Resource {
  kind: string
  name: string
  namespaced: boolean
}

/** Health checks and some errors are plain text. */
function parse(text: string): Body {
  try {
    return JSON.parse(text) as Body
  } catch {
    return { message: text }
  }
}
