/** What a test node lacks to be a cluster: Kubernetes' own controllers, scheduler and proxy of Services. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kubeConfig } from '../webhook.ts'
import { program } from './build.ts'
import type { Manifest } from './client.ts'
import { caFile, type Tokens } from './control-plane.ts'
import { NODE, NODE_IP, POD_RANGE, SERVICE_IP } from './names.ts'
import type { Namespaces } from './namespaces.ts'

const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'endpointslice-controller',
  'serviceaccount-controller',
  'root-ca-certificate-publisher-controller',
  'garbage-collector-controller',
  'namespace-controller',
  // The API server taints each new node, and nobody else takes the taint away.
  'node-lifecycle-controller',
]

/** Where the Service of the API server leads; it does not say so itself, as it is started for loopback. */
export const apiServerEndpoints: Manifest = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: 'kubernetes',
    namespace: 'default',
    labels: { 'kubernetes.io/service-name': 'kubernetes' },
  },
  addressType: 'IPv4',
  endpoints: [{ addresses: [NODE_IP], conditions: { ready: true } }],
  ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
}

/** They end with the namespaces. `hpaSyncS`: how often HPAs are looked at; never by default. */
export async function startControllers(
  folder: string,
  namespaces: Namespaces,
  tokens: Tokens,
  hpaSyncS?: number,
) {
  const config = join(folder, 'controllers.kubeconfig')
  const server = { url: `https://${SERVICE_IP}`, caFile: caFile(folder) }
  writeFileSync(config, kubeConfig(server, tokens.admin), { mode: 0o600 })
  const hpa = hpaSyncS === undefined ? [] : ['horizontal-pod-autoscaler-controller']
  const flags = {
    'kube-controller-manager': [
      `--controllers=${[...CONTROLLERS, ...hpa].join(',')}`,
      ...(hpaSyncS === undefined ? [] : [`--horizontal-pod-autoscaler-sync-period=${hpaSyncS}s`]),
      `--root-ca-file=${caFile(folder)}`,
      `--service-account-private-key-file=${join(folder, 'service-accounts.key')}`,
      '--leader-elect=false',
      '--secure-port=0',
    ],
    'kube-scheduler': ['--leader-elect=false', '--secure-port=0'],
    'kube-proxy': [
      '--proxy-mode=iptables',
      `--hostname-override=${NODE}`,
      `--cluster-cidr=${POD_RANGE}`,
      // These limits are the machine's, not the namespace's.
      '--conntrack-max-per-core=0',
    ],
  } as const
  for (const [name, words] of Object.entries(flags)) {
    const command = [await program(name as keyof typeof flags), `--kubeconfig=${config}`, ...words]
    namespaces.start(command, join(folder, `${name}.log`))
  }
}
