/** What an API server would refuse in an injected pod: failurePolicy Ignore does not cover a patch that makes a pod invalid. */
import { AGENT } from './agent-container.ts'
import type { Pod } from './pod.ts'

/** Empty for a sound pod. Only what an injection can bring about; the API server checks the rest by itself. */
export function faultsIn({ metadata, spec }: Pod): string[] {
  const volumes = new Set(spec.volumes?.map(volume => volume.name))
  const containers = [...(spec.initContainers ?? []), ...spec.containers]
  const agents = containers.filter(one => one.name === AGENT).length
  const faults = [
    ...(agents === 1 ? [] : [`${agents} containers called ${AGENT}`]),
    ...twice(
      containers.map(one => one.name),
      'container',
    ),
    ...twice(
      spec.volumes?.map(volume => volume.name),
      'volume',
    ),
  ]
  for (const one of containers) {
    const lost = one.volumeMounts?.filter(mount => !volumes.has(mount.name)) ?? []
    faults.push(
      ...lost.map(mount => `${one.name} mounts the volume ${mount.name}, which is not there`),
      ...twice(
        one.volumeMounts?.map(mount => mount.mountPath),
        `mount of ${one.name} at`,
      ),
      ...twice(
        one.resizePolicy?.map(policy => policy.resourceName),
        `resizePolicy of ${one.name} for`,
      ),
    )
  }
  if (spec.hostPID && spec.shareProcessNamespace) faults.push('hostPID with shareProcessNamespace')
  const size = Object.entries(metadata?.annotations ?? {}).reduce(
    (sum, [name, value]) => sum + name.length + Buffer.byteLength(value),
    0,
  )
  if (size > MOST_ANNOTATIONS) faults.push(`annotations of ${size} bytes`)
  return faults
}

/** Source: TotalAnnotationSizeLimitB in kubernetes/apimachinery. */
const MOST_ANNOTATIONS = 256 * 1024

const twice = (values: readonly string[] = [], what: string) =>
  [...new Set(values.filter((value, index) => values.indexOf(value) !== index))].map(
    value => `more than one ${what} ${value}`,
  )
