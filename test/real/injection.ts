/** What the suites about injection share: a real API server that has the chart's objects, and pods to create on it. */
import { inject } from '../../src/inject/inject.ts'
import type { Pod } from '../../src/inject/pod.ts'
import { options } from '../inject/golden.ts'
import type { Body, Client, Manifest } from './cluster/client.ts'
import type { Cluster } from './cluster/cluster.ts'
import { render } from './helm.ts'
import { until } from './until.ts'

export const SYSTEM = 'stoker-system'
export const NS = 'ml'
const SEEN_MS = 10_000

export interface WebhookConfiguration extends Manifest {
  webhooks: {
    name: string
    clientConfig: { url?: string; caBundle?: string }
    failurePolicy: string
  }[]
}

interface Container {
  name: string
  image?: string
  args?: string[]
}

export interface SeenPod extends Body {
  spec: { containers: Container[]; initContainers?: Container[] }
}

/** The installation that test/inject/golden is about. */
export const flags = ['--set=image.repository=registry.example/stoker']

/** What the chart makes, with more flags of helm's, and the webhook's rights and arguments by it. */
export async function install({ admin, addNamespace, token }: Cluster, ...more: string[]) {
  for (const name of [SYSTEM, NS]) await addNamespace(name)
  const rendered = await render(SYSTEM, ...flags, ...more)
  const installed =
    /^(Secret|ServiceAccount|(Cluster)?Role(Binding)?|ValidatingAdmissionPolicy(Binding)?)$/
  await admin.apply(...rendered.filter(({ kind }) => installed.test(kind)))
  const deployment = manifest(rendered, 'Deployment') as unknown as { spec: { template: SeenPod } }
  return {
    configuration: manifest(rendered, 'MutatingWebhookConfiguration'),
    args: deployment.spec.template.spec.containers[0]?.args ?? [],
    token: await token({ namespace: SYSTEM, serviceAccount: 'stoker' }),
  }
}

function manifest(all: readonly Manifest[], kind: string): Manifest {
  const found = all.find(one => one.kind === kind)
  if (!found) throw new Error(`The chart has no ${kind}`)
  return found
}

/** The chart's configuration calls a Service; here the webhook listens on loopback. What it trusts stays as the chart has it. */
export function callingLoopback(
  configuration: Manifest,
  port: number,
  failurePolicy: string,
): WebhookConfiguration {
  const { webhooks, ...rest } = configuration as WebhookConfiguration
  const url = `https://127.0.0.1:${port}/inject`
  const calling = webhooks.map(({ clientConfig: { caBundle }, ...webhook }) => ({
    ...webhook,
    clientConfig: { url, ...(caBundle !== undefined && { caBundle }) },
    failurePolicy,
  }))
  return { ...rest, webhooks: calling }
}

/** A pod that a label asks the agent for, and nothing else. */
export const plain = (name: string, namespace = NS, metadata: object = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { 'stoker.dev/inject': 'true' }, ...metadata },
  spec: { containers: [{ name: 'torchserve', image: 'pytorch/torchserve:0.12.0-cpu' }] },
})

/** A golden pod as a manifest; its label asks for the agent unless it says something of its own. */
export function labelled({ metadata, spec }: Pod, name: string, namespace = NS): Manifest {
  const labels = { 'stoker.dev/inject': 'true', ...metadata?.labels }
  const annotations = { ...metadata?.annotations }
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels, annotations }, spec }
}

export const create = (admin: Client, pod: Manifest, query = '') =>
  admin.call('POST', `/api/v1/namespaces/${pod.metadata.namespace}/pods${query}`, pod)

export const dryRun = (admin: Client, pod: Manifest) => create(admin, pod, '?dryRun=All')

export function isInjected(body: Body): boolean {
  const { spec } = body as Partial<SeenPod>
  const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]
  return all.some(({ name }) => name === 'stoker-agent')
}

/** Whether a golden pod has an agent in the end. */
export function ends(pod: Pod): boolean {
  const { outcome, reasons } = inject(pod, options)
  return outcome === 'injected' || reasons[0].code === 'already_injected'
}

/** Waits until labelled pods get, or no longer get, the agent; the API server learns of changes with a delay. */
export async function settled(admin: Client, isWanted: boolean): Promise<void> {
  const holds = async () => isInjected((await dryRun(admin, plain('probe'))).body) === isWanted
  if (!(await until(holds, SEEN_MS)))
    throw new Error(`Pods ${isWanted ? 'do not' : 'still'} get the agent`)
}
