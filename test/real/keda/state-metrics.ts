/** kube-state-metrics over the API server, for its series of Deployments and HPAs. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { logTail, startGuarded } from '../guard.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { stateMetricsProgram } from './build.ts'
import type { PlayedCluster } from './played-cluster.ts'

const START_MS = 60_000

/** Resolves with host:port once it answers. Throws MissingTool, or Error with the end of the log. */
export async function startStateMetrics({
  config,
  folder: parent,
}: Pick<PlayedCluster, 'config' | 'folder'>) {
  const folder = join(parent, 'kube-state-metrics')
  mkdirSync(folder)
  const [port, telemetry] = await freePorts(2)
  const address = `127.0.0.1:${port}`
  const command = [
    await stateMetricsProgram(),
    `--kubeconfig=${config}`,
    '--resources=deployments,horizontalpodautoscalers',
    '--host=127.0.0.1',
    `--port=${port}`,
    '--telemetry-host=127.0.0.1',
    `--telemetry-port=${telemetry}`,
  ]
  const guard = startGuarded(command, { folder })
  const answers = () =>
    fetch(`http://${address}/metrics`).then(
      ({ ok }) => ok,
      () => false,
    )
  if (await until(answers, START_MS)) return { address, stop: () => guard.release() }
  const tail = logTail(folder)
  await guard.release()
  throw new Error(`kube-state-metrics did not start. The end of its log:\n${tail}`)
}
