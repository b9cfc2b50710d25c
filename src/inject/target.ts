/** Which container of a pod runs TorchServe, and what its image tells about it. */
import type { Values } from './annotations.ts'
import { parseBytes } from '../quantity.ts'
import type { Container, Pod } from './pod.ts'
import type { Reason } from './reasons.ts'

const MANAGEMENT_PORT = 8081
const METRICS_PORT = 8082

/** By name, or else by image and command, or else by ports; the first of these that finds any has to find one only. */
export function findTorchServe(pod: Pod, name: string | undefined): Container | Reason {
  const { containers } = pod.spec
  if (name !== undefined) return containers.find(one => one.name === name) ?? missing(pod, name)
  const named = containers.filter(namesTorchServe)
  const [found, ...others] = named.length > 0 ? named : containers.filter(hasPorts)
  if (!found) {
    const message = `No container’s image, command or arguments name torchserve or ts.model_server, and none has the ports ${MANAGEMENT_PORT} and ${METRICS_PORT}; annotate the pod with stoker.dev/container`
    return { code: 'no_torchserve', message }
  }
  if (others.length === 0) return found
  const names = [found, ...others].map(one => one.name).join(', ')
  return {
    code: 'ambiguous_torchserve',
    message: `These containers look like TorchServe: ${names}; annotate the pod with stoker.dev/container`,
  }
}

function missing(pod: Pod, name: string): Reason {
  const names = pod.spec.containers.map(one => one.name).join(', ')
  const message = `stoker.dev/container="${name}" must be the name of a container; the pod has ${names}`
  return { code: 'no_such_container', message }
}

function namesTorchServe({ image, command, args }: Container): boolean {
  if (/torchserve/i.test(repository(image))) return true
  return [...(command ?? []), ...(args ?? [])].some(word =>
    /(^|[\s/;&])(torchserve|ts\.model_server)(\s|$)/.test(word),
  )
}

/** An image’s name without its tag and digest, which may hold anything. */
const repository = (image: string | null | undefined) =>
  (image ?? '').replace(/@.*$/, '').replace(/:[^/]*$/, '')

function hasPorts({ ports }: Container): boolean {
  const open = new Set(ports?.map(port => port.containerPort))
  return open.has(MANAGEMENT_PORT) && open.has(METRICS_PORT)
}

/** KServe’s image serves inference and management on one port. Source: the samples’ config.properties in kserve/kserve. */
export function settingsByImage({ image }: Container): Values {
  if (!/torchserve-kfs/.test(repository(image))) return {}
  const url = 'http://127.0.0.1:8085'
  return { 'management-url': url, 'inference-url': url }
}

/** A container that has more memory than the installation's cap keeps what its author gave it: as its own cap. */
export function capByContainer(container: Container, defaults: Values): Values {
  const [usual, amount] = [defaults['max-memory'], memoryOf(container)]
  if (!usual || amount === undefined) return {}
  return (parseBytes(amount) ?? 0) > (parseBytes(usual) ?? Infinity) ? { 'max-memory': amount } : {}
}

/** Its limit on memory, or else its request. */
export function memoryOf({ resources }: Container): string | undefined {
  const amount = resources?.limits?.['memory'] ?? resources?.requests?.['memory']
  return amount === undefined ? undefined : String(amount)
}
