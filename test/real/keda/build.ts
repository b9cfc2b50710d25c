/**
 * KEDA's operator and metrics adapter, built from its Go module as it is released, with the go.mod and go.sum that are in it; kept in the
 * cache folder of ../cluster/build.ts. `node build.ts` builds both and the controller manager: about 15 CPU minutes on a new machine.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cached, go, program } from '../cluster/build.ts'
import type { Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'

export const KEDA = 'v2.21.0'
const MODULE = 'github.com/kedacore/keda/v2'
/** What go.sum would say of the module: the Go command checks it against the checksum database. */
const SUM = 'h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps='

/** Where the Go command has unpacked the module. Throws Error where its checksum is another. */
async function source(): Promise<string> {
  const text = await go(import.meta.dirname, 'mod', 'download', '-json', `${MODULE}@${KEDA}`)
  const { Dir: folder, Sum: sum } = JSON.parse(text) as { Dir: string; Sum: string }
  if (sum !== SUM) throw new Error(`${MODULE} ${KEDA} has the checksum ${sum}, not ${SUM}`)
  return folder
}

/** The path of one of KEDA's programs, built now if it is not in the cache. */
export async function kedaProgram(name: 'operator' | 'adapter'): Promise<string> {
  return cached(`keda-${KEDA}`, name, async output => {
    const flags = ['-mod=readonly', '-trimpath', '-ldflags', '-s -w']
    await go(await source(), 'build', ...flags, '-o', output, `./cmd/${name}`)
  })
}

/** KEDA's resource definitions, as they are in the module. */
export async function definitions(): Promise<Manifest[]> {
  const folder = join(await source(), 'config', 'crd', 'bases')
  return readdirSync(folder).flatMap(file => readManifests(join(folder, file)))
}

if (import.meta.main) {
  console.log(await program('kube-controller-manager'))
  for (const name of ['operator', 'adapter'] as const) console.log(await kedaProgram(name))
}
