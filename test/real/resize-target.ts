/** What the resize cases run on: a real API server, without a node or with one. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { wallClock } from '../../src/clock.ts'
import { playedStatus, podOf } from '../../src/simulate/kubernetes/cluster.ts'
import type { Pod } from '../../src/simulate/kubernetes/objects.ts'
import { versions, type Version } from '../../src/simulate/kubernetes/versions.ts'
import { resize } from '../protocol/resize/calls.ts'
import type { Node, PodRef, ResizeTarget, Shape } from '../protocol/resize/target.ts'
import { startApiServer } from './cluster/apiserver.ts'
import { STRATEGIC, type Client, type Manifest } from './cluster/client.ts'
import type { Cluster } from './cluster/cluster.ts'
import { buildEmpty } from './cluster/images.ts'
import { readManifests } from './cluster/manifests.ts'
import { NODE } from './cluster/names.ts'
import { startNode, type HostNode } from './cluster/node.ts'
import { playNode } from './cluster/play.ts'
import { mayChangePods, mayResize } from './cluster/rights.ts'
import { EMPTY_IMAGE } from './cluster/torchserve-pod.ts'
import { until } from './until.ts'

const policyFiles = ['resize-own-pod', 'deletion-cost-own-pod'].map(name =>
  join(import.meta.dirname, `../../k8s/policies/${name}.yaml`),
)
const holder = join(import.meta.dirname, 'handlers/hold.py')
const IN_FORCE_MS = 10_000
const START_MS = 60_000
const NODE_MIB = 16 * 1024

type Stoppable = ResizeTarget & { stop(): Promise<void> }

/** @throws Error when the server does not start, or does not enforce what it was given */
export async function openApiServerTarget(): Promise<Stoppable> {
  const server = await startApiServer()
  await playNode(server.admin, NODE, '16Gi')
  const { admin } = server
  const target = await targetOn(server, async pod => {
    const created = await post(admin, pod)
    if (pod.shape.report === 'absent' || created.spec.nodeName === undefined) return created
    const status = playedStatus(created, pod.shape.report !== 'silent')
    const { namespace, name } = created.metadata
    await admin.ok('PATCH', `${pathOf({ namespace, name })}/status`, { status }, STRATEGIC)
    return created
  })
  return { ...target, stop: () => server.stop() }
}

/** A node of 16 GiB for pods, whatever they use of it. @throws Error where the machine cannot have one */
export async function openNodeTarget(): Promise<Stoppable> {
  const node = await startNode({ memoryMiB: NODE_MIB })
  await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
  const wishes = join(node.folder, 'wishes')
  mkdirSync(wishes)
  const { admin } = node
  const target = await targetOn(node, async pod => {
    const created = await post(admin, pod, wishes)
    if (created.spec.nodeName !== NODE) return created
    const runs = ({ body }: { body: object }) => isReady(body as Pod)
    await admin.waitFor(pathOf(pod), runs, START_MS)
    return created
  })
  const admits = async (namespace: string, { name = 'p', ...shape }: Shape) => {
    const path = pathOf({ namespace, name })
    await post(admin, { namespace, name, uid: '', shape }, wishes)
    const settles = ({ body }: { body: object }) =>
      isReady(body as Pod) || (body as Pod).status.phase === 'Failed'
    const { status } = (await admin.waitFor(path, settles, START_MS)) as unknown as Pod
    return status.phase !== 'Failed'
  }
  return { ...target, node: { ...nodeOf(node, wishes), admits }, stop: () => node.stop() }
}

interface Wanted extends PodRef {
  shape: Shape
}

/** All but the pods' processes is the same on both. */
async function targetOn(
  cluster: Cluster,
  create: (pod: Wanted) => Promise<Pod>,
): Promise<ResizeTarget> {
  const { admin } = cluster
  await admin.apply(...policyFiles.flatMap(readManifests), everything('kube-system', 'default'))
  await cluster.addNamespace('kube-system')
  const target: ResizeTarget = {
    url: cluster.url,
    caFile: cluster.caFile,
    version: await versionOf(admin),
    adminToken: await cluster.token({ namespace: 'kube-system', serviceAccount: 'default' }),
    clock: wallClock,
    async addNamespace(name) {
      await cluster.addNamespace(name)
      const subject = { kind: 'ServiceAccount', name: 'default' } as const
      await admin.apply(...mayResize(name, subject, ['patch']))
    },
    async allowCosts(namespace) {
      const subject = { kind: 'ServiceAccount', name: 'default' } as const
      await admin.apply(...mayChangePods(namespace, subject, ['patch', 'set-own-deletion-cost']))
    },
    async create(namespace, { name = 'p', ...shape }) {
      const { metadata } = await create({ namespace, name, uid: '', shape })
      return { namespace, name, uid: metadata.uid }
    },
    async remove(pod, graceMs) {
      await admin.ok('DELETE', `${pathOf(pod)}?gracePeriodSeconds=${graceMs / 1000}`)
    },
    async clear(namespace) {
      const path = `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=0`
      await admin.ok('DELETE', path)
    },
    tokenOf: ({ namespace, name, uid }) =>
      cluster.token({ namespace, serviceAccount: 'default', pod: { name, uid } }),
    async limit(namespace, range) {
      const metadata = { name: 'range', namespace }
      const spec = { limits: [{ type: 'Container', ...range }] }
      await admin.apply({ apiVersion: 'v1', kind: 'LimitRange', metadata, spec })
      await inForce(
        admin,
        namespace,
        new RegExp(`maximum \\w+ usage per ${range.type ?? 'Container'} `),
      )
    },
    async quota(namespace, status) {
      const metadata = { name: 'q', namespace }
      const spec = { hard: status.hard }
      await admin.apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec })
      const path = `/api/v1/namespaces/${namespace}/resourcequotas/q/status`
      await admin.ok('PATCH', path, { status }, STRATEGIC)
      await inForce(admin, namespace, /exceeded quota/)
    },
  }
  await policyInForce(target)
  return target
}

/** As `1.36`. @throws Error for a release that the cases do not know */
async function versionOf(admin: Client): Promise<Version> {
  const { major, minor } = (await admin.ok('GET', '/version')) as { major?: string; minor?: string }
  const version = `${major}.${minor}`
  if (!(version in versions)) throw new Error(`The cases do not know Kubernetes ${version}`)
  return version as Version
}

const pathOf = ({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>) =>
  `/api/v1/namespaces/${namespace}/pods/${name}`

/** `wishes`: a folder in which containers that run are told what to hold; without it nothing runs. */
async function post(
  admin: Client,
  { namespace, name, shape }: Wanted,
  wishes?: string,
): Promise<Pod> {
  const { metadata, spec } = podOf({ ...shape, name, namespace })
  const { annotations } = metadata
  const claims = spec.containers.flatMap(({ resources }) => resources.claims ?? [])
  const resourceClaims = claims.map(each => ({ name: each.name, resourceClaimName: each.name }))
  const running = wishes === undefined ? {} : processesOf(spec, `${wishes}/${namespace}-${name}`)
  const { priority, ...others } = spec
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations },
    spec: {
      ...others,
      ...running,
      ...(claims.length > 0 && { resourceClaims }),
      ...(priority > 0 && { priorityClassName: await priorityClass(admin, priority) }),
    },
  }
  const path = `/api/v1/namespaces/${namespace}/pods`
  return (await admin.ok('POST', path, pod)) as unknown as Pod
}

async function priorityClass(admin: Client, value: number): Promise<string> {
  const name = `priority-${value}`
  const kind = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass' }
  await admin.apply({ ...kind, metadata: { name }, value })
  return name
}

/** Each container is a process that holds as much memory as the file of its name in `folder` says. */
function processesOf({ containers, initContainers }: Pod['spec'], folder: string) {
  mkdirSync(folder, { recursive: true })
  const mounts = {
    machine: '/usr',
    program: holder,
    wishes: folder,
    scratch: '/scratch',
    volume: '/volume',
  }
  const volumeMounts = Object.entries(mounts).map(([name, mountPath]) => ({ name, mountPath }))
  const withProcess = (container: Pod['spec']['containers'][number]) => ({
    ...container,
    image: EMPTY_IMAGE,
    imagePullPolicy: 'Never',
    command: ['/usr/bin/python3', holder, join(folder, container.name), '/scratch', '/volume'],
    volumeMounts,
  })
  const hostPath = (name: string, path: string) => ({ name, hostPath: { path } })
  return {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    volumes: [
      hostPath('machine', '/usr'),
      hostPath('program', holder),
      hostPath('wishes', folder),
      { name: 'scratch', emptyDir: {} },
      { name: 'volume', emptyDir: { medium: 'Memory' } },
    ],
    containers: containers.map(withProcess),
    ...(initContainers && { initContainers: initContainers.map(withProcess) }),
  }
}

function nodeOf(node: HostNode, wishes: string): Omit<Node, 'admits'> {
  const wish = ({ namespace, name }: PodRef, container: string, what: object) =>
    writeFileSync(`${wishes}/${namespace}-${name}/${container}`, JSON.stringify(what))
  const bytes = (limit: number) => (limit < 2 ** 60 ? limit : undefined)
  return {
    use: async (pod, container, use) => wish(pod, container, use),
    kill: async (pod, container) => wish(pod, container, { exit: 137 }),
    async limits(pod) {
      const { status } = (await node.admin.ok('GET', pathOf(pod))) as unknown as Pod
      const all = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])]
      let whole = Number.POSITIVE_INFINITY
      const containers: Record<string, number | undefined> = {}
      for (const { name, state } of all) {
        if (!('running' in state)) continue
        const place = { namespace: pod.namespace, pod: pod.name, container: name }
        const { limit, podLimit } = await node.memory(place)
        containers[name] = bytes(limit)
        whole = podLimit
      }
      return { pod: bytes(whole), containers }
    },
    stopKubelet: () => node.kubelet.stop(),
    startKubelet: () => node.kubelet.start(),
  }
}

function isReady({ status, spec }: Pod): boolean {
  const running = status.containerStatuses?.filter(({ state }) => 'running' in state) ?? []
  const reported = running.filter(({ resources }) => resources !== undefined)
  return reported.length === spec.containers.length
}

function everything(namespace: string, name: string): Manifest {
  const apiGroup = 'rbac.authorization.k8s.io'
  return {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: `${namespace}-${name}` },
    roleRef: { apiGroup, kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  }
}

/** Whether a new pod of everything there is is refused so: what was written is enforced after a moment only. */
async function inForce(admin: Client, namespace: string, by: RegExp): Promise<void> {
  const all = { cpu: '1000', memory: '1Pi' }
  const { spec } = podOf({ name: 'x', containers: [{ name: 'x', requests: all, limits: all }] })
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', namespace }, spec }
  const refused = async () => {
    const path = `/api/v1/namespaces/${namespace}/pods?dryRun=All`
    const { body } = await admin.call('POST', path, pod)
    return by.test(body.message ?? '')
  }
  if (!(await until(refused, IN_FORCE_MS))) throw new Error(`Nothing is refused by ${by.source}`)
}

async function policyInForce(target: ResizeTarget): Promise<void> {
  await target.addNamespace('policy')
  const elsewhere = { node: null, containers: [{ name: 'x' }] }
  const [pod, other] = [
    await target.create('policy', { name: 'a', ...elsewhere }),
    await target.create('policy', { name: 'b', ...elsewhere }),
  ]
  const token = await target.tokenOf(pod)
  const refused = async () => (await resize(target, other, {}, { token })).status === 403
  if (!(await until(refused, IN_FORCE_MS))) throw new Error('The policy is not enforced')
}
