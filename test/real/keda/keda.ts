/** KEDA's operator and metrics adapter on an API server: their processes, and what it must know of them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority, filesIn, sign, type Files } from '../certificates.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { logTail, startGuarded, type Guarded } from '../guard.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { kubeConfig } from '../webhook.ts'
import { definitions, kedaProgram } from './build.ts'

const SERVICE = 'keda-metrics-apiserver'
const NAMESPACE = 'keda'
const GROUP = 'v1beta1.external.metrics.k8s.io'
const START_MS = 60_000

/** What KEDA runs beside: an API server that was started with aggregationFlags(), on the loopback of a network. */
export interface Ground extends Pick<Cluster, 'admin' | 'addNamespace' | 'caFile'> {
  folder: string
  /** Where the API server is in that network. */
  url: string
  tokens: { admin: string }
  /** Makes of a command one that has that network; the machine's own without it. */
  inNetwork?(command: readonly string[]): readonly string[]
}

export interface Keda {
  /** Of the operator's own metrics, host:port. */
  operatorMetrics: string
  /** A kubeconfig with all rights. */
  config: string
  /** Ends of what the programs have written. */
  logs(): string
  stop(): Promise<void>
}

/** Flags by which the API server passes on calls to KEDA's adapter, in the caller's name. */
export async function aggregationFlags(folder: string): Promise<string[]> {
  const authority = await createAuthority(join(folder, 'authority'))
  const proxy = await sign(authority, join(folder, 'proxy'), 'front-proxy')
  return [
    // Nobody has a certificate of it; the adapter looks for one.
    `--client-ca-file=${authority.cert}`,
    `--requestheader-client-ca-file=${authority.cert}`,
    '--requestheader-allowed-names=front-proxy',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${proxy.cert}`,
    `--proxy-client-key-file=${proxy.key}`,
  ]
}

/** Throws MissingTool, or Error with the ends of the logs. */
export async function startKeda(ground: Ground): Promise<Keda> {
  const { folder, inNetwork = words => words } = ground
  const running: { name: string; guard: Guarded }[] = []
  const stop = async () => {
    await Promise.all(running.map(({ guard }) => guard.release()))
  }
  const logs = () => running.map(({ name }) => `${name}: ${logTail(join(folder, name))}`).join('\n')
  try {
    await ground.addNamespace(NAMESPACE)
    await ground.admin.apply(...(await definitions()))
    const { commands, config, operatorMetrics } = await commandsOf(ground)
    for (const [name, command] of Object.entries(commands)) {
      const own = join(folder, name)
      mkdirSync(own)
      const env = { KEDA_CLUSTER_OBJECT_NAMESPACE: NAMESPACE, WATCH_NAMESPACE: '' }
      const options = { folder: own, env: { ...process.env, ...env } }
      running.push({ name, guard: startGuarded(inNetwork(command), options) })
    }
    if (!(await until(() => isAvailable(ground), START_MS, 250))) throw new Error('not available')
    return { operatorMetrics, config, logs, stop }
  } catch (cause) {
    const text = logs()
    await stop()
    throw new Error(`KEDA did not start. The ends of the logs:\n${text}`, { cause })
  }
}

async function commandsOf(ground: Ground) {
  const authority = filesIn(join(ground.folder, 'authority'))
  const name = `${SERVICE}.${NAMESPACE}.svc`
  const own = await sign(authority, join(ground.folder, 'keda'), name, ['localhost', '127.0.0.1'])
  const config = join(own.folder, 'kubeconfig')
  writeFileSync(config, kubeConfig(ground, ground.tokens.admin), { mode: 0o600 })
  const [health, grpc, adapter = 0, metrics, operator] = await freePorts(5)
  const operatorMetrics = `127.0.0.1:${operator}`
  await ground.admin.apply(...registration(own, adapter))
  const commands = {
    operator: [
      await kedaProgram('operator'),
      `--kubeconfig=${config}`,
      `--cert-dir=${own.folder}`,
      `--health-probe-bind-address=127.0.0.1:${health}`,
      `--metrics-service-bind-address=127.0.0.1:${grpc}`,
      `--metrics-bind-address=${operatorMetrics}`,
    ],
    adapter: [
      await kedaProgram('adapter'),
      ...['', 'lister-', 'authentication-', 'authorization-'].map(
        which => `--${which}kubeconfig=${config}`,
      ),
      `--cert-dir=${own.folder}`,
      `--tls-cert-file=${own.cert}`,
      `--tls-private-key-file=${own.key}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${adapter}`,
      `--metrics-service-address=127.0.0.1:${grpc}`,
      // Of its own metrics; it listens on all addresses and cannot be told otherwise.
      `--port=${metrics}`,
    ],
  }
  return { commands, config, operatorMetrics }
}

/** The adapter as a service outside the cluster, which the API server calls by the name in its certificate. */
function registration(own: Files, port: number) {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: SERVICE, namespace: NAMESPACE },
      spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
    },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: GROUP },
      spec: {
        service: { name: SERVICE, namespace: NAMESPACE, port },
        group: 'external.metrics.k8s.io',
        version: 'v1beta1',
        caBundle: readFileSync(own.ca).toString('base64'),
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    },
  ]
}

async function isAvailable({ admin }: Ground): Promise<boolean> {
  const { body } = await admin.call('GET', `/apis/apiregistration.k8s.io/v1/apiservices/${GROUP}`)
  const { conditions = [] } = (body['status'] ?? {}) as {
    conditions?: { type: string; status: string }[]
  }
  return conditions.some(({ type, status }) => type === 'Available' && status === 'True')
}
