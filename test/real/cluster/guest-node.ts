/**
 * A real node with cgroups of version 2 only, as real clusters have them: kubelet, containerd and runc on a kernel of their own, in a virtual
 * machine beside the API server. Its programs and files are this machine's. The machine is emulated, so everything takes longer.
 */
import { join } from 'node:path'
import { program } from './build.ts'
import { onFoundation, processOf, type Machine, type Memory, type Node } from './foundation.ts'
import { startGuest, type Guest } from './guest.ts'
import { isReadySince, kubeletWords } from './kubelet.ts'
import { GUEST_IP, NODE } from './names.ts'
import type { Namespaces, Result } from './namespaces.ts'
import { findGuestTools } from './tools.ts'

const SLOWNESS = 5
const READY_TIMEOUT_MS = 180_000

export interface GuestNode extends Node {
  /** Runs a shell script in the virtual machine, outside of all containers. */
  script(text: string): Promise<Result>
}

/** Throws MissingTool; Error with the reason where the machine cannot do it. */
export async function startGuestNode(): Promise<GuestNode> {
  await findGuestTools()
  const kind = {
    slowness: SLOWNESS,
    async machine(namespaces: Namespaces, folder: string): Promise<Machine & Guest> {
      const guest = await startGuest(folder, namespaces)
      return { ...guest, memory: id => readMemory(guest, id) }
    },
  }
  return onFoundation(kind, async ({ node, tokens, machine }) => {
    const words = kubeletWords({ folder: node.folder, tokens }, GUEST_IP)
    const startedMs = Date.now()
    machine.start([await program('kubelet'), ...words], join(node.folder, 'kubelet.log'))
    const isReady = ({ body }: { body: object }) => isReadySince(body, startedMs)
    await node.admin.waitFor(`/api/v1/nodes/${NODE}`, isReady, READY_TIMEOUT_MS)
    await node.addNamespace('default')
    return { ...node, script: text => machine.script(text) }
  })
}

/** All in one go: starting a program takes long there. */
async function readMemory(guest: Guest, id: string): Promise<Memory> {
  const { code, stdout, stderr } = await guest.script(`set -e
container=$(find /sys/fs/cgroup/kubepods -name ${id})
[ -n "$container" ]
cd "$container"
cat memory.max memory.current ../memory.max
for pid in $(cat cgroup.procs); do
  echo "process $pid"
  cat /proc/$pid/cmdline /proc/$pid/status 2>/dev/null || :
done`)
  if (code !== 0) throw new Error(`Container ${id} has no cgroup: it does not run. ${stderr}`)
  const [files = '', ...processes] = stdout.split(/^process (?=\d+$)/m)
  const [limit = NaN, usage = NaN, podLimit = NaN] = files.split('\n').map(bytes)
  return {
    limit,
    usage,
    podLimit,
    processes: processes.map(text => {
      const [first = '', ...rest] = text.split('\n')
      // Its words, each ending with a zero byte, and then its status.
      const command = rest.join('\n').slice(0, rest.join('\n').lastIndexOf('\0') + 1)
      return processOf(Number(first), command, text)
    }),
  }
}

function bytes(text: string): number {
  return text === 'max' ? Infinity : Number(text)
}
