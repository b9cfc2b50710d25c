/**
 * A real node: kubelet, containerd and runc, with the API server, in namespaces and cgroups of their own; ready in a few seconds. The
 * kernel is the machine's, so are the files. Needs root.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cgroups } from './cgroups.ts'
import type { Tokens } from './control-plane.ts'
import { apiServerEndpoints, startControllers } from './controllers.ts'
import { onFoundation, processOf, type Memory, type Node, type Process } from './foundation.ts'
import { createKubelet, type Kubelet } from './kubelet.ts'
import type { Namespaces } from './namespaces.ts'
import { findClusterTools, findTools } from './tools.ts'

export interface HostNode extends Node {
  tokens: Tokens
  kubelet: Kubelet
}

interface Options {
  /** What its pods may request in sum; all that the machine has by default. */
  memoryMiB?: number
  /** Whether Deployments become pods, pods without a node get this one, and Services lead to pods. */
  isCluster?: boolean
  /** How often HPAs are looked at, with `isCluster`; never by default. */
  hpaSyncS?: number
  /** More flags of the API server; the files that they name may go into the folder. */
  flags?: (folder: string) => Promise<readonly string[]>
}

/** Throws MissingTool; Error with the reason where the machine cannot do it. */
export async function startNode(options: Options = {}): Promise<HostNode> {
  const { memoryMiB, isCluster = false, hpaSyncS, flags } = options
  await (isCluster ? findClusterTools() : findTools())
  const kind = {
    slowness: 1,
    ...(flags && { flags }),
    machine: (namespaces: Namespaces, _folder: string, cgroups: Cgroups) =>
      Promise.resolve({
        ...namespaces,
        memory: (id: string) => Promise.resolve().then(() => readMemory(cgroups, id)),
      }),
  }
  return onFoundation(kind, async ({ node, tokens, namespaces }) => {
    const { folder, admin } = node
    const kubelet = createKubelet(namespaces, admin, { folder, tokens, memoryMiB })
    await kubelet.start()
    await node.addNamespace('default')
    if (isCluster) {
      await admin.apply(apiServerEndpoints)
      await startControllers(folder, namespaces, tokens, hpaSyncS)
    }
    return { ...node, tokens, kubelet }
  })
}

function readMemory(cgroups: Cgroups, id: string): Memory {
  const [container] = globSync(join(cgroups.memory, 'kubepods', '**', id))
  if (!container) throw new Error(`Container ${id} has no cgroup: it does not run`)
  const read = (folder: string, file: string) =>
    Number(readFileSync(join(folder, `memory.${file}_in_bytes`), 'utf8'))
  const pids = readFileSync(join(container, 'cgroup.procs'), 'utf8').trim().split('\n')
  return {
    limit: read(container, 'limit'),
    usage: read(container, 'usage'),
    podLimit: read(dirname(container), 'limit'),
    processes: pids.map(readProcess),
  }
}

/** One that has ended meanwhile has no command, and holds nothing. */
function readProcess(pid: string): Process {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return processOf(Number(pid), command, readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return processOf(Number(pid), '', '')
  }
}
