/** The Kubernetes API as the resize cases call it, and what they wait for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { createKubernetes, type Kubernetes } from '../../../src/clients/kubernetes.ts'
import { wallClock } from '../../../src/clock.ts'
import type { ContainerShape } from '../../../src/simulate/kubernetes/cluster.ts'
import {
  sameResources,
  type Condition,
  type Pod,
  type ResourceList,
} from '../../../src/simulate/kubernetes/objects.ts'
import type { PodRef, ResizeTarget } from './target.ts'

export const MiB = 2 ** 20
export const GiB = 2 ** 30

export interface Answer {
  status: number
  /** A pod if the status is 200. */
  pod: Pod
  reason: string
  message: string
  causes: readonly { reason?: string; message?: string; field?: string }[]
}

interface Sent {
  method?: 'GET' | 'PUT' | 'PATCH'
  /** Of the body; a strategic merge patch. */
  type?: string
  query?: string
  token?: string
  /** Empty: the pod itself. */
  subresource?: '' | '/resize'
}

const CALL_MS = 10_000
const agents = new Map<string, Agent>()

/** Kept open: opening one takes longer than a call. */
function connectionsTo({ url, caFile }: ResizeTarget): Agent {
  const known = agents.get(url) ?? new Agent({ connect: { ca: readFileSync(caFile) } })
  agents.set(url, known)
  return known
}

/** PATCH …/pods/NAME/resize, or what is said instead. */
export async function resize(
  target: ResizeTarget,
  { namespace, name }: Pick<PodRef, 'namespace' | 'name'>,
  body: unknown,
  {
    method = 'PATCH',
    type,
    query = '',
    token = target.adminToken,
    subresource = '/resize',
  }: Sent = {},
): Promise<Answer> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}${subresource}${query}`
  const reply = await request(`${target.url}${path}`, {
    method,
    dispatcher: connectionsTo(target),
    signal: AbortSignal.timeout(CALL_MS),
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': type ?? 'application/strategic-merge-patch+json',
    },
    ...(method !== 'GET' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const answer = JSON.parse(await reply.body.text())
  return {
    status: reply.statusCode,
    pod: answer,
    reason: answer.reason ?? '',
    message: answer.message ?? '',
    causes: answer.details?.causes ?? [],
  }
}

export async function read(target: ResizeTarget, pod: PodRef): Promise<Pod> {
  const answer = await resize(target, pod, undefined, { method: 'GET' })
  if (answer.status !== 200) throw new Error(`${pod.name}: ${answer.message}`)
  return answer.pod
}

/** A patch of containers by name. */
export function to(changes: Readonly<Record<string, Amounts>>) {
  const containers = Object.entries(changes).map(([name, resources]) => ({ name, resources }))
  return { spec: { containers } }
}

interface Amounts {
  requests?: Readonly<Record<string, string | null>>
  limits?: Readonly<Record<string, string | null>>
}

export const memory = (requests?: string, limits?: string): Amounts => ({
  ...(requests && { requests: { memory: requests } }),
  ...(limits && { limits: { memory: limits } }),
})

export const container = (
  name: string,
  requests: ResourceList | undefined,
  limits?: ResourceList,
): ContainerShape => ({ name, ...(requests && { requests }), ...(limits && { limits }) })

/** TorchServe with 2 GiB of at most 4, and an agent as sidecar. */
export const burstable = {
  annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': '8Gi' },
  containers: [container('torchserve', { cpu: '1', memory: '2Gi' }, { memory: '4Gi' })],
  sidecars: [container('agent', { cpu: '50m', memory: '64Mi' }, { memory: '64Mi' })],
}

export const guaranteed = {
  ...burstable,
  containers: [container('torchserve', { cpu: '1', memory: '2Gi' }, { cpu: '1', memory: '2Gi' })],
  sidecars: [container('agent', { cpu: '50m', memory: '64Mi' }, { cpu: '50m', memory: '64Mi' })],
}

export function resourcesOf(pod: Pod, name: string) {
  const found = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
    each => each.name === name,
  )
  return found?.resources ?? {}
}

/** `Deferred`, `InProgress Error` and the like; empty while nothing is said. */
export function conditionsOf(pod: Pod): Condition[] {
  return (pod.status.conditions ?? []).filter(({ type }) => type.startsWith('PodResize'))
}

/** Looks again until the condition gives something, and gives that. Throws after `ms` of the server's time. */
export async function waitFor<T>(
  target: ResizeTarget,
  what: string,
  ms: number,
  condition: () => Promise<T | false | undefined>,
): Promise<T> {
  const deadline = target.clock.now() + ms
  const pollMs = Math.max(20, ms / 100)
  for (;;) {
    const value = await condition()
    if (value !== false && value !== undefined) return value
    if (target.clock.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await target.clock.sleep(pollMs)
  }
}

/** Waits until the kubelet has done what the pod asks for, by Kubernetes' own test for it. */
export function done(target: ResizeTarget, pod: PodRef, withinMs = 60_000): Promise<Pod> {
  return waitFor(target, `${pod.name} is resized`, withinMs, async () => {
    const now = await read(target, pod)
    const { observedGeneration = now.metadata.generation } = now.status
    const statuses = [
      ...(now.status.containerStatuses ?? []),
      ...(now.status.initContainerStatuses ?? []),
    ]
    const actual = statuses.every(({ name, resources }) =>
      sameResources(resources ?? {}, resourcesOf(now, name)),
    )
    const seen = observedGeneration >= now.metadata.generation
    return seen && actual && conditionsOf(now).length === 0 && now
  })
}

/** Waits for a condition of this type and reason; `message` as well. */
export function said(
  target: ResizeTarget,
  pod: PodRef,
  type: 'Pending' | 'InProgress',
  reason: string,
  withinMs = 60_000,
): Promise<Condition> {
  return waitFor(target, `${pod.name} is ${type} ${reason}`, withinMs, async () => {
    const found = conditionsOf(await read(target, pod)).find(
      each => each.type === `PodResize${type}` && (each.reason ?? '') === reason,
    )
    return found
  })
}

/** The agent's client in that pod; `tokenFile` holds its token. */
export async function agentIn(
  t: Test,
  target: ResizeTarget,
  { name: pod, namespace, uid }: PodRef,
  timeoutMs = 5_000,
): Promise<{ kubernetes: Kubernetes; tokenFile: string }> {
  const token = await target.tokenOf({ name: pod, namespace, uid })
  const tokenFile = join(t.testdir({ token }), 'token')
  const { hostname, port } = new URL(target.url)
  const kubernetes = createKubernetes(
    {
      host: hostname,
      port: Number(port),
      namespace,
      pod,
      uid,
      container: 'torchserve',
      tokenFile,
      caFile: target.caFile,
      timeoutMs,
    },
    wallClock,
  )
  t.teardown(() => kubernetes.close())
  return { kubernetes, tokenFile }
}
