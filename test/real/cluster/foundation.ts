/**
 * What the kinds of test nodes stand on: namespaces with an API server in them, and containerd on the machine that is the node. There are no controllers
 * and no scheduler unless asked for: tests create pods, with `nodeName: node1` and images that they have imported. Nothing of it stays
 * behind: ../guard.ts.
 */
import { globSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ownCgroups, type Cgroups } from './cgroups.ts'
import { awaitCluster, type Cluster } from './cluster.ts'
import { controlPlane, writeCredentials, type Tokens } from './control-plane.ts'
import { buildPause, createBuilder, type Builder } from './images.ts'
import { PAUSE_IMAGE, SERVICE_IP } from './names.ts'
import { startNamespaces, type Namespaces, type Result } from './namespaces.ts'
import { startRuntime, type Runtime } from './runtime.ts'
import { inNetworkOf, openTunnel } from './tunnel.ts'

const HTTPS = 443
const LOG_TAIL_CHARS = 4000

interface Place {
  namespace: string
  pod: string
  container: string
}

/** Of cgroup files, in bytes. */
export interface Memory {
  /** Infinity: none. */
  limit: number
  usage: number
  /** Of the whole pod. */
  podLimit: number
  processes: readonly Process[]
}

/** A process of a container. */
export interface Process {
  /** As the node's kernel has it. */
  pid: number
  parent: number
  command: string
  /** Memory of its own, in bytes. */
  held: number
}

/** A process by its /proc/PID/status: it holds nothing where it is ending. */
export function processOf(pid: number, command: string, status: string): Process {
  const number = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)( kB)?$`, 'm').exec(status)?.[1] ?? 0)
  const held = (number('RssAnon') + number('RssShmem')) * 1024
  return { pid, parent: number('PPid'), command, held }
}

export interface Node extends Cluster {
  /** For what is to be gone with the node. */
  folder: string
  /** How many times longer than on this machine something may take there. */
  slowness: number
  builder: Builder
  importImages: Runtime['importImages']
  /** Runs a command in a container, as its own processes run. */
  exec(place: Place, command: readonly string[]): Promise<Result>
  /** What a container has printed. */
  log(place: Place): string
  memory(place: Place): Promise<Memory>
  /** A URL on this machine's loopback that leads to a port of a pod, or of anybody in the node's network. */
  reach(address: string, port: number): Promise<URL>
  /** A command for this machine that has the node's network. */
  inNetwork(command: readonly string[]): string[]
  /** Everything that runs in the node ends at once. */
  stop(): Promise<void>
}

/** What runs the node's programs. */
export interface Machine {
  /** Starts a program, its output going to a log file. */
  start(command: readonly string[], logFile: string): unknown
  /** Runs a command to its end. */
  run(command: readonly string[]): Promise<Result>
  /** Of a container, by its id. Rejects where it does not run. */
  memory(containerId: string): Promise<Memory>
}

interface Kind<M extends Machine> {
  slowness: number
  /** More flags of the API server; the files that they name may go into the folder. */
  flags?(folder: string): Promise<readonly string[]>
  machine(namespaces: Namespaces, folder: string, cgroups: Cgroups): Promise<M>
}

export interface Foundation<M extends Machine> {
  node: Node
  tokens: Tokens
  namespaces: Namespaces
  machine: M
}

/** `complete` makes of it what is wanted, at least by starting a kubelet. Throws Error with the ends of all logs. */
export async function onFoundation<M extends Machine, N>(
  kind: Kind<M>,
  complete: (foundation: Foundation<M>) => Promise<N>,
): Promise<N> {
  if (process.getuid?.() !== 0)
    throw new Error('The test node needs root, to make namespaces and cgroups')
  const folder = mkdtempSync(join(tmpdir(), 'stoker-node-'))
  const cgroups = ownCgroups(basename(folder))
  const tokens = writeCredentials(folder)
  const namespaces = await startNamespaces(folder, cgroups)
  try {
    const more = await kind.flags?.(folder)
    const plane = await controlPlane({
      folder,
      host: '0.0.0.0',
      port: HTTPS,
      ...(more && { more }),
    })
    namespaces.start(plane, join(folder, 'control-plane.log'))
    const tunnel = await openTunnel(namespaces.pid, SERVICE_IP, HTTPS)
    const starting = kind.machine(namespaces, folder, cgroups)
    const [cluster, machine, runtime] = await Promise.all([
      awaitCluster(folder, `https://127.0.0.1:${tunnel.port}`, tokens),
      starting,
      starting.then(each => startRuntime(folder, each)),
    ])
    const builder = createBuilder(join(folder, 'images'))
    await runtime.importImages(await buildPause(builder, join(folder, 'pause'), PAUSE_IMAGE))
    const tunnels = [tunnel]
    const node: Node = {
      ...cluster,
      folder,
      slowness: kind.slowness,
      builder,
      importImages: archive => runtime.importImages(archive),
      exec: async (place, command) => runtime.exec(await containerId(cluster, place), command),
      log: place => readLog(join(folder, 'pod-logs'), place),
      memory: async place => machine.memory(await containerId(cluster, place)),
      inNetwork: command => inNetworkOf(namespaces.pid, command),
      async reach(address, port) {
        const opened = await openTunnel(namespaces.pid, address, port)
        tunnels.push(opened)
        return new URL(`http://127.0.0.1:${opened.port}`)
      },
      async stop() {
        for (const each of tunnels) each.close()
        await namespaces.release()
      },
    }
    return await complete({ node, tokens, namespaces, machine })
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

/** Each line is `TIME STREAM F TEXT`; a file for each time the container was started. */
function readLog(folder: string, { namespace, pod, container }: Place): string {
  const files = globSync(join(folder, `${namespace}_${pod}_*`, container, '*.log')).toSorted()
  const lines = files.flatMap(file => readFileSync(file, 'utf8').split('\n'))
  return lines.map(line => line.replace(/^\S+ \S+ \S /, '')).join('\n')
}
