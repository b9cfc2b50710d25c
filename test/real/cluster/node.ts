/**
 * A real node: kubelet, containerd and runc, with the API server, in namespaces and cgroups of their own; ready in a few seconds. There
 * are no controllers and no scheduler unless asked for: tests create pods, with `nodeName: node1` and images that they have imported. The kernel is the
 * machine's, so are the files. Needs root. Nothing of it stays behind: ../guard.ts.
 */
import { globSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { ownCgroups, type Cgroups } from './cgroups.ts'
import { awaitCluster, type Cluster } from './cluster.ts'
import { controlPlane, writeCredentials, type Tokens } from './control-plane.ts'
import { BY_ENDPOINTS, startControllers, startScheduler } from './controllers.ts'
import { buildPause, createBuilder, type Builder } from './images.ts'
import { createKubelet, type Kubelet } from './kubelet.ts'
import { PAUSE_IMAGE, SERVICE_IP } from './names.ts'
import { startNamespaces, type Result } from './namespaces.ts'
import { startRuntime, type Runtime } from './runtime.ts'
import { findTools } from './tools.ts'
import { openTunnel } from './tunnel.ts'

const HTTPS = 443
const LOG_TAIL_CHARS = 4000

interface Place {
  namespace: string
  pod: string
  container: string
}

/** Of cgroup files, in bytes. */
interface Memory {
  limit: number
  usage: number
  /** Of the whole pod. */
  podLimit: number
  /** Ids of the container's processes, as this machine has them. */
  pids: readonly number[]
}

export interface Node extends Cluster {
  /** For what is to be gone with the node. */
  folder: string
  tokens: Tokens
  kubelet: Kubelet
  builder: Builder
  importImages: Runtime['importImages']
  /** Runs a command in a container, as its own processes run. */
  exec(place: Place, command: readonly string[]): Promise<Result>
  /** What a container has printed. */
  log(place: Place): string
  memory(place: Place): Promise<Memory>
  /** A URL on this machine's loopback that leads to a port of a pod. */
  reach(podIp: string, port: number): Promise<URL>
  /** Everything that runs in the node ends at once. */
  stop(): Promise<void>
}

interface Options {
  /** What its pods may request in sum; all that the machine has by default. */
  memoryMiB?: number
  /** Whether Deployments become pods, Services have endpoints, and pods without a node get this one. */
  isCluster?: boolean
}

/** Throws MissingTool; Error with the reason where the machine cannot do it. */
export async function startNode({ memoryMiB, isCluster = false }: Options = {}): Promise<Node> {
  if (process.getuid?.() !== 0)
    throw new Error('The test node needs root, to make namespaces and cgroups')
  await findTools()
  const folder = mkdtempSync(join(tmpdir(), 'stoker-node-'))
  const cgroups = ownCgroups(basename(folder))
  const tokens = writeCredentials(folder)
  const namespaces = await startNamespaces(folder, cgroups)
  try {
    const plane = await controlPlane({
      folder,
      host: '0.0.0.0',
      port: HTTPS,
      more: isCluster ? [BY_ENDPOINTS] : [],
    })
    namespaces.start(plane, join(folder, 'control-plane.log'))
    const tunnel = await openTunnel(namespaces.pid, SERVICE_IP, HTTPS)
    const builder = createBuilder(join(folder, 'images'))
    const [cluster, runtime] = await Promise.all([
      awaitCluster(folder, `https://127.0.0.1:${tunnel.port}`, tokens),
      startRuntime(folder, namespaces),
    ])
    await runtime.importImages(await buildPause(builder, join(folder, 'pause'), PAUSE_IMAGE))
    const kubelet = createKubelet(namespaces, cluster.admin, { folder, tokens, memoryMiB })
    await kubelet.start()
    await cluster.addNamespace('default')
    if (isCluster) await startControllers(folder, namespaces, tokens)
    const endScheduler = isCluster ? startScheduler(cluster.admin) : undefined
    const tunnels = [tunnel]
    return {
      ...cluster,
      folder,
      tokens,
      kubelet,
      builder,
      importImages: archive => runtime.importImages(archive),
      exec: async (place, command) => runtime.exec(await containerId(cluster, place), command),
      log: place => readLog(join(folder, 'pod-logs'), place),
      memory: async place => readMemory(cgroups, await containerId(cluster, place)),
      async reach(podIp, port) {
        const opened = await openTunnel(namespaces.pid, podIp, port)
        tunnels.push(opened)
        return new URL(`http://127.0.0.1:${opened.port}`)
      },
      async stop() {
        endScheduler?.()
        for (const each of tunnels) each.close()
        await namespaces.release()
      },
    }
  } catch (error) {
    const logs = globSync(join(folder, '*.log')).map(tail)
    await namespaces.release()
    throw new Error(`The node did not start. ${logs.join('\n')}`, { cause: error })
  }
}

function tail(file: string): string {
  return `The end of ${basename(file)}:\n${readFileSync(file, 'utf8').slice(-LOG_TAIL_CHARS)}`
}

async function containerId({ admin }: Cluster, { namespace, pod, container }: Place) {
  const { status } = (await admin.ok('GET', `/api/v1/namespaces/${namespace}/pods/${pod}`)) as {
    status?: Record<'containerStatuses' | 'initContainerStatuses', ContainerStatus[] | undefined>
  }
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])]
  const id = all.find(({ name }) => name === container)?.containerID?.replace('containerd://', '')
  if (!id) throw new Error(`${namespace}/${pod} has no container ${container} that was started`)
  return id
}

interface ContainerStatus {
  name: string
  containerID?: string
}

function readMemory(cgroups: Cgroups, id: string): Memory {
  const [container] = globSync(join(cgroups.memory, 'kubepods', '**', id))
  if (!container) throw new Error(`Container ${id} has no cgroup: it does not run`)
  const read = (folder: string, file: string) =>
    Number(readFileSync(join(folder, `memory.${file}_in_bytes`), 'utf8'))
  return {
    limit: read(container, 'limit'),
    usage: read(container, 'usage'),
    podLimit: read(dirname(container), 'limit'),
    pids: readFileSync(join(container, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number),
  }
}

/** Each line is `TIME STREAM F TEXT`; a file for each time the container was started. */
function readLog(folder: string, { namespace, pod, container }: Place): string {
  const files = globSync(join(folder, `${namespace}_${pod}_*`, container, '*.log')).toSorted()
  const lines = files.flatMap(file => readFileSync(file, 'utf8').split('\n'))
  return lines.map(line => line.replace(/^\S+ \S+ \S /, '')).join('\n')
}
