/**
 * A real API server with KEDA and the controllers of Deployments, ReplicaSets and HPAs, all on loopback. There is no scheduler and no
 * node: pods stay as the test plays them.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startApiServer, type ApiServer } from '../cluster/apiserver.ts'
import { program } from '../cluster/build.ts'
import { startGuarded } from '../guard.ts'
import { aggregationFlags, startKeda, type Keda } from './keda.ts'

export type PlayedCluster = ApiServer & Keda

/** `syncS`: how often the HPA looks. Throws MissingTool, or Error with the ends of the logs. */
export async function startPlayedCluster(syncS: number): Promise<PlayedCluster> {
  const server = await startApiServer(aggregationFlags)
  try {
    const keda = await startKeda(server)
    const controllers = await startControllers(server, keda.config, syncS)
    return {
      ...server,
      ...keda,
      async stop() {
        await Promise.all([controllers.release(), keda.stop()])
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

async function startControllers({ folder: parent }: ApiServer, config: string, syncS: number) {
  const folder = join(parent, 'controllers')
  mkdirSync(folder)
  const command = [
    await program('kube-controller-manager'),
    `--kubeconfig=${config}`,
    '--controllers=deployment-controller,replicaset-controller,horizontal-pod-autoscaler-controller',
    `--horizontal-pod-autoscaler-sync-period=${syncS}s`,
    '--leader-elect=false',
    '--secure-port=0',
  ]
  return startGuarded(command, { folder })
}
