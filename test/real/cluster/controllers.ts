/** What a test node lacks to be a cluster: the controllers that a Deployment takes, and a scheduler, which has one node to choose from. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kubeConfig } from '../webhook.ts'
import { program } from './build.ts'
import type { Client, Manifest } from './client.ts'
import { caFile, type Tokens } from './control-plane.ts'
import { NODE, SERVICE_IP } from './names.ts'
import type { Namespaces } from './namespaces.ts'

/** With it the API server calls a Service at its endpoints' addresses: nothing routes the Service's own, there is no kube-proxy. */
export const BY_ENDPOINTS = '--enable-aggregator-routing=true'

const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'endpointslice-controller',
  'serviceaccount-controller',
  'root-ca-certificate-publisher-controller',
  'garbage-collector-controller',
  'namespace-controller',
]
const SCHEDULE_MS = 50

/** They end with the namespaces. */
export async function startControllers(folder: string, namespaces: Namespaces, tokens: Tokens) {
  const config = join(folder, 'controllers.kubeconfig')
  const server = { url: `https://${SERVICE_IP}`, caFile: caFile(folder) }
  writeFileSync(config, kubeConfig(server, tokens.admin), { mode: 0o600 })
  const command = [
    await program('kube-controller-manager'),
    `--kubeconfig=${config}`,
    `--controllers=${CONTROLLERS.join(',')}`,
    `--root-ca-file=${caFile(folder)}`,
    `--service-account-private-key-file=${join(folder, 'service-accounts.key')}`,
    '--leader-elect=false',
    '--secure-port=0',
  ]
  namespaces.start(command, join(folder, 'controllers.log'))
}

/** Binds every pod without a node to the only one; what it returns ends that. */
export function startScheduler(admin: Client): () => void {
  let isEnded = false
  const pass = async () => {
    const path = '/api/v1/pods?fieldSelector=spec.nodeName%3D'
    const { items } = (await admin.ok('GET', path)) as unknown as { items: Manifest[] }
    for (const { metadata } of items) {
      const { namespace, name } = metadata
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { namespace, name },
        target: { apiVersion: 'v1', kind: 'Node', name: NODE },
      }
      // A pod may be gone by now.
      await admin.call('POST', `/api/v1/namespaces/${namespace}/pods/${name}/binding`, binding)
    }
  }
  const next = () => {
    if (isEnded) return
    const again = () => setTimeout(next, SCHEDULE_MS).unref()
    // The API server may be slow for once; the next pass finds the same pods.
    pass().then(again, again)
  }
  next()
  return () => {
    isEnded = true
  }
}
