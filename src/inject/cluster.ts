/** The cluster as the webhook needs it: its authority’s Secret, its own configuration, and Events. */
import {
  AdmissionregistrationV1Api,
  ApiException,
  CoreV1Api,
  KubeConfig,
  PatchStrategy,
  setHeaderMiddleware,
  type ConfigurationOptions,
  type V1MutatingWebhookConfiguration,
  type V1Secret,
} from '@kubernetes/client-node'
import type { TrustStore } from './authority.ts'
import type { Event } from './events.ts'

const CALL_MS = 10_000
const MOST_MESSAGE = 1_000

export interface Names {
  namespace: string
  /** Of the Secret that holds the authority; it has to exist. */
  secret: string
  /** Of the MutatingWebhookConfiguration. */
  configuration: string
}

export interface Cluster {
  store(names: Names): TrustStore
  post(event: Event): Promise<void>
}

/** As kubectl finds it: by $KUBECONFIG, ~/.kube/config or the pod's service account. */
export function connect(): Cluster {
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromDefault()
  const core = kubeConfig.makeApiClient(CoreV1Api)
  const admission = kubeConfig.makeApiClient(AdmissionregistrationV1Api)
  return {
    store: names => createStore(core, admission, names),
    async post({ owner, type, reason, message, atMs }) {
      const { namespace, ...object } = owner
      const at = new Date(atMs)
      const body = {
        metadata: { generateName: `${owner.name}.`, namespace },
        involvedObject: { ...object, namespace },
        type,
        reason,
        message: message.slice(0, MOST_MESSAGE),
        source: { component: 'stoker-webhook' },
        firstTimestamp: at,
        lastTimestamp: at,
        count: 1,
      }
      await core.createNamespacedEvent({ namespace, body }, limited('application/json'))
    },
  }
}

function createStore(
  core: CoreV1Api,
  admission: AdmissionregistrationV1Api,
  names: Names,
): TrustStore {
  const { namespace, secret: name, configuration } = names
  let secret: V1Secret | undefined
  let webhooks: V1MutatingWebhookConfiguration['webhooks']
  const json = () => limited('application/json')
  return {
    async read() {
      secret = await core.readNamespacedSecret({ name, namespace }, json())
      const found = await admission.readMutatingWebhookConfiguration(
        { name: configuration },
        json(),
      )
      webhooks = found.webhooks ?? []
      const bundles = webhooks.map(({ clientConfig }) => decoded(clientConfig.caBundle))
      const { 'ca.crt': certs, 'ca.key': keys } = secret.data ?? {}
      const pem = certs && keys ? { certs: decoded(certs), keys: decoded(keys) } : undefined
      return { pem, bundles }
    },
    async write({ certs, keys }) {
      const data = { 'ca.crt': encoded(certs), 'ca.key': encoded(keys) }
      try {
        const { metadata = {}, type = 'Opaque', data: others } = secret ?? {}
        const body = { metadata, type, data: { ...others, ...data } }
        await core.replaceNamespacedSecret({ name, namespace, body }, json())
        return true
      } catch (error) {
        if (error instanceof ApiException && error.code === 409) return false
        throw error
      }
    },
    async trust(bundle) {
      const body = (webhooks ?? []).flatMap((webhook, index) => [
        // The order may have changed since it was read.
        { op: 'test', path: `/webhooks/${index}/name`, value: webhook.name },
        { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: encoded(bundle) },
      ])
      const patch = limited(PatchStrategy.JsonPatch)
      await admission.patchMutatingWebhookConfiguration({ name: configuration, body }, patch)
    },
  }
}

const decoded = (text = '') => Buffer.from(text, 'base64').toString()
const encoded = (text: string) => Buffer.from(text).toString('base64')

/** A call of this content type that ends in time. */
function limited(contentType: string): ConfigurationOptions {
  const header = setHeaderMiddleware('Content-Type', contentType)
  const limit = {
    ...header,
    pre(request: Parameters<typeof header.pre>[0]) {
      request.setSignal(AbortSignal.timeout(CALL_MS))
      return header.pre(request)
    },
  }
  return { middleware: [limit], middlewareMergeStrategy: 'append' }
}
