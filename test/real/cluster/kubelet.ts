/** The kubelet of a test node. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { program } from './build.ts'
import type { Client } from './client.ts'
import { caFile, type Tokens } from './control-plane.ts'
import { NODE, NODE_IP, SERVICE_IP } from './names.ts'
import type { Namespaces } from './namespaces.ts'
import { RUNTIME_SOCKET } from './runtime.ts'

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 20_000
const EVICTION_MIB = 100
const MIB = 2 ** 20

export interface Kubelet {
  /** Resolves when the node is ready. */
  start(): Promise<void>
  /** SIGTERM; the containers go on. */
  stop(): Promise<void>
  /** It hangs, until it is told to go on. */
  freeze(): void
  thaw(): void
}

interface Options {
  folder: string
  tokens: Tokens
  /** What its pods may request in sum; by default all that the machine has. */
  memoryMiB?: number | undefined
}

/** A kubelet on the machine's own kernel. */
export function createKubelet(namespaces: Namespaces, admin: Client, options: Options): Kubelet {
  const { folder } = options
  const words = kubeletWords(options, NODE_IP, { failCgroupV1: false })
  let running: ReturnType<Namespaces['start']> | undefined
  const signal = (name: NodeJS.Signals) => {
    if (running?.pid === undefined) return
    // What was started is nsenter, which waits for the kubelet.
    const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8')
    for (const pid of children.trim().split(' ')) process.kill(Number(pid), name)
  }
  return {
    freeze: () => signal('SIGSTOP'),
    thaw() {
      // nsenter hangs with its child, and goes on by itself only.
      if (running?.pid !== undefined) process.kill(running.pid, 'SIGCONT')
      signal('SIGCONT')
    },
    async start() {
      const startedMs = Date.now()
      running = namespaces.start([await program('kubelet'), ...words], join(folder, 'kubelet.log'))
      await admin.waitFor(
        `/api/v1/nodes/${NODE}`,
        ({ body }) => isReadySince(body, startedMs),
        READY_TIMEOUT_MS,
      )
    },
    async stop() {
      if (running?.pid === undefined) return
      running.ref()
      const gone = once(running, 'exit')
      signal('SIGTERM')
      const timeout = sleep(STOP_TIMEOUT_MS, 'late', { ref: false })
      if ((await Promise.race([gone, timeout])) === 'late')
        throw new Error(`The kubelet has not ended ${STOP_TIMEOUT_MS} ms after SIGTERM`)
      running = undefined
    },
  }
}

/** A kubelet's arguments; writes the files that they name. `more` goes over its configuration. */
export function kubeletWords(options: Options, nodeIp: string, more: object = {}): string[] {
  const { folder } = options
  const configFile = join(folder, 'kubelet.json')
  const accessFile = join(folder, 'kubelet.kubeconfig')
  writeFileSync(configFile, JSON.stringify({ ...configuration(options), ...more }))
  writeFileSync(accessFile, JSON.stringify(access(options)), { mode: 0o600 })
  return [
    `--config=${configFile}`,
    `--kubeconfig=${accessFile}`,
    `--hostname-override=${NODE}`,
    `--node-ip=${nodeIp}`,
    `--root-dir=${join(folder, 'kubelet')}`,
    `--cert-dir=${join(folder, 'kubelet-certificates')}`,
    '--v=2',
  ]
}

/** The heartbeat, not the last change: a kubelet that was stopped left the node ready. Its clock has whole seconds. */
export function isReadySince(node: object, sinceMs: number): boolean {
  const { status } = node as { status?: { conditions?: Record<string, string>[] } }
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  const seenMs = Date.parse(ready?.['lastHeartbeatTime'] ?? '')
  return ready?.['status'] === 'True' && seenMs >= sinceMs - 1000
}

function configuration({ folder, memoryMiB }: Options) {
  const spareMiB = Math.floor(totalmem() / MIB) - EVICTION_MIB - (memoryMiB ?? 0)
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${RUNTIME_SOCKET}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: '/',
    failSwapOn: false,
    // Nobody asks it anything: tests read the API, the cgroups and the log files, and reach into containers by containerd.
    enableServer: false,
    makeIPTablesUtilChains: false,
    resolvConf: '',
    localStorageCapacityIsolation: false,
    podLogsDir: join(folder, 'pod-logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    // Of images and disk the machine has what it has: nothing is removed or evicted for it.
    imageGCHighThresholdPercent: 100,
    // A container that is killed again and again comes back at once, so that tests need not wait.
    crashLoopBackOff: { maxContainerRestartPeriod: '1s' },
    evictionHard: { 'memory.available': `${EVICTION_MIB}Mi` },
    ...(memoryMiB !== undefined && { systemReserved: { memory: `${spareMiB}Mi` } }),
  }
}

function access({ folder, tokens }: Options) {
  const server = `https://${SERVICE_IP}`
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': caFile(folder) } }],
    users: [{ name: 'node', user: { token: tokens.node } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'node' } }],
    'current-context': 'test',
  }
}
