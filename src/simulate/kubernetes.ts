/** An emulated Kubernetes of one node that speaks to the agent's real client, over TLS. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubernetesConfig } from '../clients/kubernetes.ts'
import { createAuthority, signLeaf } from '../inject/certificates.ts'
import { admin } from './kubernetes/access.ts'
import { Cluster, type ClusterOptions } from './kubernetes/cluster.ts'
import { listen } from './kubernetes/http.ts'

export interface KubernetesEmulation {
  readonly url: string
  /** May do everything. */
  readonly adminToken: string
  /** PEM file to trust. */
  readonly caFile: string
  readonly cluster: Cluster
  /** What a pod's agent finds in its environment and its mounts; its token is bound to the pod. */
  configFor(pod: string, namespace?: string): Omit<KubernetesConfig, 'container' | 'timeoutMs'>
  /** The kubelet writes a new token into the pod's file; the old one is refused from now on. */
  rotateToken(pod: string, namespace?: string): void
  close(): Promise<void>
}

const CERTIFIED_MS = 365 * 24 * 60 * 60_000

/** @throws Error when the port is taken or the temporary folder cannot be written */
export async function startKubernetes(
  options: ClusterOptions & { port?: number },
): Promise<KubernetesEmulation> {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-kubernetes-'))
  const caFile = join(folder, 'ca.crt')
  // Connections are judged by the machine's clock, whatever the cluster's is.
  const nowMs = Date.now()
  const authority = await createAuthority(nowMs, CERTIFIED_MS)
  const names = ['localhost', '127.0.0.1', '::1']
  const leaf = await signLeaf(authority, names, nowMs, CERTIFIED_MS)
  writeFileSync(caFile, authority.cert)
  const cluster = new Cluster(options)
  const { access } = cluster.api
  const adminToken = access.issue(admin)
  const server = await listen(cluster.api, leaf, options.port ?? 0)
  const tokens = new Map<string, string>()
  const mount = (uid: string) => {
    const pod = cluster.api.store.byUid(uid)
    if (!pod) return
    access.revoke(tokens.get(uid) ?? '')
    const token = access.issueFor(pod)
    tokens.set(uid, token)
    writeFileSync(join(folder, uid), token)
  }
  return {
    url: `https://127.0.0.1:${server.port}`,
    adminToken,
    caFile,
    cluster,
    configFor: (pod, namespace = 'default') => {
      const { uid } = cluster.pod(pod, namespace).metadata
      if (!tokens.has(uid)) mount(uid)
      const tokenFile = join(folder, uid)
      return { host: '127.0.0.1', port: server.port, namespace, pod, uid, tokenFile, caFile }
    },
    rotateToken: (pod, namespace = 'default') => mount(cluster.pod(pod, namespace).metadata.uid),
    close: async () => {
      cluster.close()
      await server.close()
      rmSync(folder, { recursive: true })
    },
  }
}
