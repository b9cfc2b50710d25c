/**
 * Namespaces of a node's own: mounts, network, processes, IPC, host name and cgroups. It sees the machine's files, and nothing that it
 * mounts, starts or connects is seen outside. When its first process dies, everything in it does.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { logTail, startGuarded } from '../guard.ts'
import { until } from '../until.ts'
import type { Cgroups } from './cgroups.ts'
import { NODE, NODE_IP, SERVICE_IP } from './names.ts'

const START_TIMEOUT_MS = 10_000
const COMMAND_TIMEOUT_MS = 60_000

export interface Result {
  /** Null: killed by a signal. */
  code: number | null
  stdout: string
  stderr: string
}

export interface Namespaces {
  /** Starts a program inside, its output going to a log file. */
  start(command: readonly string[], logFile: string): ChildProcess
  /** Runs a command inside to its end; kills it after 60 s. */
  run(command: readonly string[]): Promise<Result>
  /** Process id of the first process, outside. */
  pid: number
  release(): Promise<void>
}

/** The first process: prepares the namespaces, then reaps orphans for as long as it lives. */
function init(cgroups: Cgroups): string {
  return `
set -eu
# The old /proc still tells the process id that the world outside knows.
read -r pid rest </proc/self/stat
mount -t proc proc /proc
umount -lR /sys/fs/cgroup
mount -t sysfs sysfs /sys
${cgroups.mount}
# What containerd, CNI and the kubelet write outside the folders they are given.
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
# Mounts of volumes must reach the containers, which get mount namespaces of their own.
mount --make-rshared /
hostname ${NODE}
ip link set lo up
# The address pods find the API server at is the node's own: no kube-proxy is needed.
ip addr add ${SERVICE_IP}/32 dev lo
ip link add node type bridge
ip addr add ${NODE_IP}/24 dev node
ip link set node up
# The kubelet refuses a node without a default route; nobody is there.
ip route add default via ${NODE_IP.replace(/\d+$/, '254')} dev node
echo 1 >/proc/sys/net/ipv4/ip_forward
echo $pid >init.pid.new
mv init.pid.new init.pid
while :; do
  sleep infinity &
  wait || :
done
`
}

export async function startNamespaces(folder: string, cgroups: Cgroups): Promise<Namespaces> {
  const unshare =
    'unshare --mount --net --pid --fork --ipc --uts --cgroup --kill-child --propagation private'
  const script = `set -eu\n${cgroups.make}\n${cgroups.enter}\nexec ${unshare} /bin/sh -c "$0"`
  const guard = startGuarded(['/bin/sh', '-c', script, init(cgroups)], {
    folder,
    after: cgroups.remove,
  })
  const pidFile = join(folder, 'init.pid')
  if (!(await until(() => existsSync(pidFile), START_TIMEOUT_MS))) {
    const tail = logTail(folder)
    await guard.release()
    throw new Error(`No namespaces after ${START_TIMEOUT_MS} ms:\n${tail}`)
  }
  const pid = Number(readFileSync(pidFile, 'utf8'))
  const enter = `${cgroups.enter}\nexec nsenter -t ${pid} -m -n -p -i -u -C --wd='${folder}' "$@"`
  const inside = (command: readonly string[]) => ['-c', enter, 'sh', ...command]
  return {
    pid,
    release: () => guard.release(),
    start(command, logFile) {
      const log = openSync(logFile, 'a')
      const child = spawn('/bin/sh', inside(command), {
        stdio: ['ignore', log, log],
        detached: true,
      })
      closeSync(log)
      child.unref()
      return child
    },
    async run(command) {
      const child = spawn('/bin/sh', inside(command), {
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: COMMAND_TIMEOUT_MS,
        killSignal: 'SIGKILL',
      })
      const result: Result = { code: null, stdout: '', stderr: '' }
      child.stdout.on('data', (bytes: Buffer) => (result.stdout += bytes.toString()))
      child.stderr.on('data', (bytes: Buffer) => (result.stderr += bytes.toString()))
      const [code] = (await once(child, 'close')) as [number | null]
      return { ...result, code }
    },
  }
}
