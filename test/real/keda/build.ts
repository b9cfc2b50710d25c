/**
 * KEDA's operator and metrics adapter, and kube-state-metrics, each built from its Go module as it is released, with the go.mod and
 * go.sum that are in it; kept in the cache folder of ../cluster/build.ts. `node build.ts` builds KEDA's, and what else of Kubernetes
 * their suites run: about 15 CPU minutes on a new machine.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cached, go, program } from '../cluster/build.ts'
import type { Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'

export const KEDA = 'v2.21.0'
/** `sum`: what go.sum would say of the module; the Go command checks it against the checksum database. */
const keda = {
  path: 'github.com/kedacore/keda/v2',
  version: KEDA,
  sum: 'h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=',
}
const stateMetrics = {
  path: 'k8s.io/kube-state-metrics/v2',
  version: 'v2.13.0',
  sum: 'h1:g5OV0cwrDKvyrQApYxI7Ny+vFUgU3X6MYrnIzdCAdNU=',
}
const FLAGS = ['-mod=readonly', '-trimpath', '-ldflags', '-s -w']

/** Where the Go command has unpacked the module. Throws Error where its checksum is another. */
async function source({ path, version, sum }: typeof keda): Promise<string> {
  const text = await go(import.meta.dirname, 'mod', 'download', '-json', `${path}@${version}`)
  const { Dir: folder, Sum: found } = JSON.parse(text) as { Dir: string; Sum: string }
  if (found !== sum) throw new Error(`${path} ${version} has the checksum ${found}, not ${sum}`)
  return folder
}

/** The path of one of KEDA's programs, built now if it is not in the cache. */
export async function kedaProgram(name: 'operator' | 'adapter'): Promise<string> {
  return cached(`keda-${KEDA}`, name, async output => {
    await go(await source(keda), 'build', ...FLAGS, '-o', output, `./cmd/${name}`)
  })
}

/** The path of kube-state-metrics, built now if it is not in the cache. */
export async function stateMetricsProgram(): Promise<string> {
  return cached(
    `kube-state-metrics-${stateMetrics.version}`,
    'kube-state-metrics',
    async output => {
      await go(await source(stateMetrics), 'build', ...FLAGS, '-o', output, '.')
    },
  )
}

/** KEDA's resource definitions, as they are in the module. */
export async function definitions(): Promise<Manifest[]> {
  const folder = join(await source(keda), 'config', 'crd', 'bases')
  return readdirSync(folder).flatMap(file => readManifests(join(folder, file)))
}

if (import.meta.main) {
  for (const name of ['kube-controller-manager', 'kube-scheduler', 'kube-proxy'] as const)
    console.log(await program(name))
  for (const name of ['operator', 'adapter'] as const) console.log(await kedaProgram(name))
}
