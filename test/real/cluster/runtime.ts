/** containerd on a node, with Debian's runc and CNI plugins. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import type { Machine } from './foundation.ts'
import { PAUSE_IMAGE, POD_RANGE } from './names.ts'
import type { Result } from './namespaces.ts'

/** On the node's own /run. */
export const RUNTIME_SOCKET = '/run/containerd/containerd.sock'
const START_TIMEOUT_MS = 60_000

export interface Runtime {
  /** Makes the images of an archive known under the names they carry. */
  importImages(archive: string): Promise<void>
  /** Runs a command as a container's own processes run: user, capabilities, environment, folder. */
  exec(containerId: string, command: readonly string[]): Promise<Result>
}

export async function startRuntime(
  folder: string,
  machine: Pick<Machine, 'start' | 'run'>,
): Promise<Runtime> {
  const data = join(folder, 'containerd')
  mkdirSync(join(data, 'cni'), { recursive: true })
  writeFileSync(join(data, 'cni', 'bridge.conflist'), JSON.stringify(network(data)))
  writeFileSync(join(data, 'config.toml'), config(data))
  const log = join(folder, 'containerd.log')
  machine.start(['containerd', '--config', join(data, 'config.toml')], log)
  const ctr = (...words: string[]) => machine.run(['ctr', '--namespace=k8s.io', ...words])
  if (!(await until(async () => (await ctr('version')).code === 0, START_TIMEOUT_MS, 100)))
    throw new Error(`containerd does not answer after ${START_TIMEOUT_MS} ms; its log is ${log}`)
  let execs = 0
  return {
    async importImages(archive) {
      const { code, stderr } = await ctr('images', 'import', archive)
      if (code !== 0) throw new Error(`${archive} cannot be imported: ${stderr}`)
    },
    exec: (containerId, command) =>
      ctr('tasks', 'exec', `--exec-id=test-${++execs}`, containerId, ...command),
  }
}

function config(data: string): string {
  return `version = 2
root = "${data}/root"
[grpc]
  address = "${RUNTIME_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${data}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # Lowering a score below its parent's needs CAP_SYS_RESOURCE, which root does not have on every machine.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${data}/cni"
`
}

function network(data: string) {
  const ipam = {
    type: 'host-local',
    dataDir: join(data, 'addresses'),
    ranges: [[{ subnet: POD_RANGE }]],
    routes: [{ dst: '0.0.0.0/0' }],
  }
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true, ipam }
  return { cniVersion: '0.4.0', name: 'pods', plugins: [bridge] }
}
