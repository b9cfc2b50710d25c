/** What the resize cases run on: a real API server without a node. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { wallClock } from '../../src/clock.ts'
import { NODE, playedStatus, podOf } from '../../src/simulate/kubernetes/cluster.ts'
import type { Pod } from '../../src/simulate/kubernetes/objects.ts'
import { resize } from '../protocol/resize/calls.ts'
import type { PodRef, ResizeTarget, Shape } from '../protocol/resize/target.ts'
import { startApiServer, type ApiServer } from './cluster/apiserver.ts'
import { STRATEGIC, type Manifest } from './cluster/client.ts'
import { playNode } from './cluster/play.ts'
import { mayResize } from './cluster/rights.ts'
import { until } from './until.ts'

const policyFile = join(import.meta.dirname, '../../k8s/policies/resize-own-pod.yaml')
const IN_FORCE_MS = 10_000

/** @throws Error when the server does not start, or does not enforce what it was given */
export async function openResizeTarget(): Promise<ResizeTarget & { stop(): Promise<void> }> {
  const server = await startApiServer()
  const policy = parseAllDocuments(readFileSync(policyFile, 'utf8'))
  await server.admin.apply(
    ...policy.map(document => document.toJS() as Manifest),
    everything('kube-system', 'default'),
  )
  await server.addNamespace('kube-system')
  await playNode(server.admin, NODE, '16Gi')
  const adminToken = await server.token({ namespace: 'kube-system', serviceAccount: 'default' })
  const target: ResizeTarget = {
    url: server.url,
    caFile: server.caFile,
    version: '1.36',
    adminToken,
    clock: wallClock,
    async addNamespace(name) {
      await server.addNamespace(name)
      const subject = { kind: 'ServiceAccount', name: 'default' } as const
      await server.admin.apply(...mayResize(name, subject, ['patch']))
    },
    create: (namespace, shape) => create(server, namespace, shape),
    async remove(pod, graceMs) {
      await server.admin.ok('DELETE', `${pathOf(pod)}?gracePeriodSeconds=${graceMs / 1000}`)
    },
    async clear(namespace) {
      const path = `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=0`
      await server.admin.ok('DELETE', path)
    },
    tokenOf: ({ namespace, name, uid }) =>
      server.token({ namespace, serviceAccount: 'default', pod: { name, uid } }),
    async limit(namespace, range) {
      const metadata = { name: 'range', namespace }
      const spec = { limits: [{ type: 'Container', ...range }] }
      await server.admin.apply({ apiVersion: 'v1', kind: 'LimitRange', metadata, spec })
      await inForce(server, namespace, /maximum \w+ usage per Container/)
    },
    async quota(namespace, status) {
      const metadata = { name: 'q', namespace }
      const spec = { hard: status.hard }
      await server.admin.apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec })
      const path = `/api/v1/namespaces/${namespace}/resourcequotas/q/status`
      await server.admin.ok('PATCH', path, { status }, STRATEGIC)
      await inForce(server, namespace, /exceeded quota/)
    },
  }
  await policyInForce(target)
  return { ...target, stop: () => server.stop() }
}

const pathOf = ({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>) =>
  `/api/v1/namespaces/${namespace}/pods/${name}`

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

async function create(
  { admin }: ApiServer,
  namespace: string,
  { name = 'p', ...shape }: Shape,
): Promise<PodRef> {
  const { metadata, spec } = podOf({ ...shape, name, namespace })
  const { annotations } = metadata
  const claims = spec.containers.flatMap(({ resources }) => resources.claims ?? [])
  const resourceClaims = claims.map(each => ({ name: each.name, resourceClaimName: each.name }))
  const created = (await admin.ok('POST', `/api/v1/namespaces/${namespace}/pods`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations },
    spec: { ...spec, ...(claims.length > 0 && { resourceClaims }) },
  })) as unknown as Pod
  if (shape.report !== 'absent' && spec.nodeName !== undefined) {
    const status = playedStatus(created, shape.report !== 'silent')
    await admin.ok('PATCH', `${pathOf({ namespace, name })}/status`, { status }, STRATEGIC)
  }
  return { name, namespace, uid: created.metadata.uid }
}

/** Whether a new pod of everything there is is refused so: what was written is enforced after a moment only. */
async function inForce({ admin }: ApiServer, namespace: string, by: RegExp): Promise<void> {
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
  const [pod, other] = [
    await target.create('policy', { name: 'a', containers: [{ name: 'a' }] }),
    await target.create('policy', { name: 'b', containers: [{ name: 'b' }] }),
  ]
  const token = await target.tokenOf(pod)
  const refused = async () => (await resize(target, other, {}, { token })).status === 403
  if (!(await until(refused, IN_FORCE_MS))) throw new Error('The policy is not enforced')
}
