/**
 * Starts a real kube-apiserver with etcd on loopback, in a temporary folder of its own; ready in about four seconds. There is no node:
 * what a kubelet would report, tests write (play.ts). Nothing of it stays behind: ../guard.ts.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { logTail, startGuarded } from '../guard.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { createCluster, type Cluster } from './cluster.ts'
import { caFile, controlPlane, writeCredentials } from './control-plane.ts'

const START_TIMEOUT_MS = 60_000
const READY_POLL_MS = 100

export interface ApiServer extends Cluster {
  /** The end of the server's own log. */
  serverLog(): string
  stop(): Promise<void>
}

/** Builds it first where the cache has none, which takes minutes. Throws MissingTool, or Error with the end of the log. */
export async function startApiServer(): Promise<ApiServer> {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-apiserver-'))
  const tokens = writeCredentials(folder)
  const [port = 0] = await freePorts(1)
  const guard = startGuarded(await controlPlane({ folder, host: '127.0.0.1', port }), { folder })
  const url = `https://127.0.0.1:${port}`
  // The server makes its certificate before it listens.
  if (await until(() => existsSync(caFile(folder)), START_TIMEOUT_MS, READY_POLL_MS)) {
    const cluster = createCluster(folder, url, tokens)
    if (await until(() => isReady(cluster), START_TIMEOUT_MS, READY_POLL_MS))
      return { ...cluster, serverLog: () => logTail(folder), stop: () => guard.release() }
  }
  const tail = logTail(folder)
  await guard.release()
  throw new Error(
    `The API server is not ready after ${START_TIMEOUT_MS} ms. The end of its log:\n${tail}`,
  )
}

async function isReady({ admin }: Cluster): Promise<boolean> {
  const reply = await admin.call('GET', '/readyz').catch(() => undefined)
  return reply?.status === 200
}
