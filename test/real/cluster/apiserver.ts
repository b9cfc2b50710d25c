/**
 * Starts a real kube-apiserver with etcd on loopback, in a temporary folder of its own; ready in about three seconds. There is no node:
 * what a kubelet would report, tests write (play.ts). Nothing of it stays behind: ../guard.ts.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { logTail, startGuarded } from '../guard.ts'
import { freePorts } from '../ports.ts'
import { awaitCluster, type Cluster } from './cluster.ts'
import { controlPlane, writeCredentials, type Tokens } from './control-plane.ts'

export interface ApiServer extends Cluster {
  /** For what belongs to it; goes with it. */
  folder: string
  tokens: Tokens
  stop(): Promise<void>
}

/** `more`: flags, given its folder. Builds it first where the cache has none, which takes minutes. Throws MissingTool, or Error with the end of the log. */
export async function startApiServer(
  more: (folder: string) => Promise<readonly string[]> = () => Promise.resolve([]),
): Promise<ApiServer> {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-apiserver-'))
  const tokens = writeCredentials(folder)
  const [port = 0] = await freePorts(1)
  const place = { folder, host: '127.0.0.1', port, more: await more(folder) }
  const guard = startGuarded(await controlPlane(place), { folder })
  try {
    const cluster = await awaitCluster(folder, `https://127.0.0.1:${port}`, tokens)
    return { ...cluster, folder, tokens, stop: () => guard.release() }
  } catch (cause) {
    const tail = logTail(folder)
    await guard.release()
    throw new Error(`The API server did not start. The end of its log:\n${tail}`, { cause })
  }
}
