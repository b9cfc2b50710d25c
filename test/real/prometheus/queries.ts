/** The queries of the ScaledObjects in k8s/examples, as a user copies them. */
import { join } from 'node:path'
import type { Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'

export const examples = join(import.meta.dirname, '../../../k8s/examples')

export interface ScaledObject extends Manifest {
  spec: {
    scaleTargetRef: { name: string }
    triggers: { name?: string; type: string; metadata: Record<string, string> }[]
  }
}

/** The query of a trigger, by the name it has in an example. Throws Error where there is none. */
export function queryOf(example: string, trigger: string): string {
  const found = readManifests(join(examples, example))
    .filter(({ kind }) => kind === 'ScaledObject')
    .flatMap(manifest => (manifest as ScaledObject).spec.triggers)
    .find(({ name }) => name === trigger)
  const query = found?.metadata['query']
  if (query === undefined) throw new Error(`${example} has no trigger ${trigger} with a query`)
  return query
}
