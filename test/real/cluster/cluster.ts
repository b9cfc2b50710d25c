/** What tests use of a cluster, whether or not it has a node. */
import { sign } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { createClient, type Client, type Metadata } from './client.ts'
import { caFile, type Tokens } from './control-plane.ts'

const START_TIMEOUT_MS = 60_000
const READY_POLL_MS = 100

interface Identity {
  namespace: string
  serviceAccount: string
  /** The pod that the token is bound to, as a kubelet's projected tokens are. Without it the token names no pod. */
  pod?: Pick<Metadata, 'name' | 'uid'>
}

export interface Cluster {
  url: string
  /** PEM file to trust. */
  caFile: string
  /** May do everything. */
  admin: Client
  as(token: string): Client
  /** As a person of this name. */
  asUser(name: string): Client
  /** With what controllers would add to it: the service account `default` and the ConfigMap kube-root-ca.crt. */
  addNamespace(name: string): Promise<void>
  /** A token of one hour from the TokenRequest API. */
  token(identity: Identity): Promise<string>
  /** A token as a Secret holds it: without an end, and without a pod. No controller runs here, so it is signed here. */
  legacyToken(namespace: string, serviceAccount: string): Promise<string>
  /** The token of an identity in a file of its own; its path. */
  tokenFile(identity: Identity): Promise<string>
}

/** Resolves when the API server is ready. Throws when it is not after 60 s. */
export async function awaitCluster(folder: string, url: string, tokens: Tokens): Promise<Cluster> {
  // The server makes its certificate before it listens.
  if (await until(() => existsSync(caFile(folder)), START_TIMEOUT_MS, READY_POLL_MS)) {
    const cluster = createCluster(folder, url, tokens)
    if (await until(() => isReady(cluster), START_TIMEOUT_MS, READY_POLL_MS)) return cluster
  }
  throw new Error(`The API server is not ready after ${START_TIMEOUT_MS} ms`)
}

async function isReady({ admin }: Cluster): Promise<boolean> {
  const reply = await admin.call('GET', '/readyz').catch(() => undefined)
  return reply?.status === 200
}

function createCluster(folder: string, url: string, tokens: Tokens): Cluster {
  const ca = readFileSync(caFile(folder), 'utf8')
  const as = (token: string) => createClient({ url, ca, token })
  const admin = as(tokens.admin)
  let files = 0
  const cluster: Cluster = {
    url,
    caFile: caFile(folder),
    admin,
    as,
    asUser: user => createClient({ url, ca, token: tokens.admin, user }),
    async addNamespace(namespace) {
      const v1 = (kind: string, name: string) => ({
        apiVersion: 'v1',
        kind,
        metadata: { name, namespace },
      })
      await admin.apply(
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
        v1('ServiceAccount', 'default'),
        { ...v1('ConfigMap', 'kube-root-ca.crt'), data: { 'ca.crt': ca } },
      )
    },
    async token({ namespace, serviceAccount, pod }) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`
      const bound = pod && { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...naming(pod) } }
      const review = await admin.ok('POST', path, { spec: { expirationSeconds: 3600, ...bound } })
      return (review as { status: { token: string } }).status.token
    },
    async legacyToken(namespace, serviceAccount) {
      const name = `${serviceAccount}-token`
      const account = await admin.ok(
        'GET',
        `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}`,
      )
      const uid = account.metadata?.uid ?? ''
      const token = signLegacyToken(folder, { namespace, secret: name, serviceAccount, uid })
      const prefix = 'kubernetes.io/service-account'
      const annotations = { [`${prefix}.name`]: serviceAccount, [`${prefix}.uid`]: uid }
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace, annotations },
        type: `${prefix}-token`,
        stringData: { token },
      }
      await admin.ok('POST', `/api/v1/namespaces/${namespace}/secrets`, secret)
      return token
    },
    async tokenFile(identity) {
      mkdirSync(join(folder, 'tokens'), { recursive: true })
      const path = join(folder, 'tokens', String(++files))
      writeFileSync(path, await cluster.token(identity), { mode: 0o600 })
      return path
    },
  }
  return cluster
}

function naming({ name, uid }: Pick<Metadata, 'name' | 'uid'>) {
  return { name, uid }
}

function signLegacyToken(
  folder: string,
  claims: { namespace: string; secret: string; serviceAccount: string; uid: string },
): string {
  const prefix = 'kubernetes.io/serviceaccount'
  const payload = {
    iss: 'kubernetes/serviceaccount',
    sub: `system:serviceaccount:${claims.namespace}:${claims.serviceAccount}`,
    [`${prefix}/namespace`]: claims.namespace,
    [`${prefix}/secret.name`]: claims.secret,
    [`${prefix}/service-account.name`]: claims.serviceAccount,
    [`${prefix}/service-account.uid`]: claims.uid,
  }
  const parts = [{ alg: 'RS256', typ: 'JWT' }, payload]
  const text = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const key = readFileSync(join(folder, 'service-accounts.key'))
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
}
