/** Reads the agent's own pod out of the API server's JSON. */
import { StokerError } from '../../errors.ts'
import type {
  ContainerState,
  MemoryResources,
  Peer,
  PodState,
  ResizeCondition,
} from '../../model.ts'
import { parseBytes } from '../../quantity.ts'
import { isObject } from '../reply.ts'
import { nodeExcess } from './bounds.ts'
import { at, list, text, time } from './json.ts'

/** The agent's field manager, by which its own writes are told from those of others. */
export const fieldManager = 'stoker'

const vpaAnnotations = ['vpaUpdates', 'vpaObservedContainers', 'vpaInPlaceUpdated']

/**
 * Throws StokerError: RESIZE_CONTAINER_UNKNOWN without a container of this name, KUBERNETES_NOT_KUBERNETES when this is no pod.
 * `asked` is what was asked, for messages.
 */
export function podState(json: unknown, container: string, asked: string): PodState {
  const bad = (what: string) =>
    new StokerError('KUBERNETES_NOT_KUBERNETES', `${asked} answered ${what}`)
  if (text(json, 'kind') !== 'Pod') throw bad('no Pod')
  const spec = within(list(json, 'spec', 'containers'), container)
  if (!spec) {
    const names = list(json, 'spec', 'containers').map(each => text(each, 'name'))
    const has = `${asked}: the pod has no container ${container}, but ${names.join(', ')}`
    throw new StokerError('RESIZE_CONTAINER_UNKNOWN', has)
  }
  const uid = text(json, 'metadata', 'uid')
  const qosClass = text(json, 'status', 'qosClass')
  if (uid === undefined) throw bad('a Pod without uid')
  if (!isQosClass(qosClass)) throw bad(`a Pod of QoS class ${qosClass}`)
  return {
    uid,
    resourceVersion: text(json, 'metadata', 'resourceVersion') ?? '',
    generation: positive(at(json, 'metadata', 'generation')) ?? 0,
    observedGeneration: positive(at(json, 'status', 'observedGeneration')),
    terminating: at(json, 'metadata', 'deletionTimestamp') !== undefined,
    phase: text(json, 'status', 'phase') ?? 'Unknown',
    qosClass,
    container: containerState(spec, within(list(json, 'status', 'containerStatuses'), container)),
    pending: condition(json, 'PodResizePending'),
    inProgress: condition(json, 'PodResizeInProgress'),
    podLimitBytes: bytes(json, 'status', 'resources', 'limits', 'memory'),
    peers: peers(json, container),
  }
}

function containerState(spec: unknown, status: unknown): ContainerState {
  const ended = at(status, 'state', 'terminated') ?? at(status, 'lastState', 'terminated')
  return {
    desired: memory(spec, 'resources'),
    allocatedRequestBytes: bytes(status, 'allocatedResources', 'memory'),
    actual: isObject(at(status, 'resources')) ? memory(status, 'resources') : undefined,
    running: at(status, 'state', 'running') !== undefined,
    restartCount: positive(at(status, 'restartCount')) ?? 0,
    lastTermination: isObject(ended)
      ? {
          reason: text(ended, 'reason') ?? '',
          exitCode: Number(ended['exitCode']),
          finishedAtMs: time(ended, 'finishedAt'),
        }
      : undefined,
    restartsOnResize: list(spec, 'resizePolicy').some(
      policy =>
        text(policy, 'resourceName') === 'memory' &&
        text(policy, 'restartPolicy') === 'RestartContainer',
    ),
  }
}

function condition(json: unknown, type: string): ResizeCondition | undefined {
  const found = list(json, 'status', 'conditions').find(
    each => text(each, 'type') === type && text(each, 'status') === 'True',
  )
  if (found === undefined) return undefined
  const message = text(found, 'message') ?? ''
  return {
    reason: text(found, 'reason') ?? '',
    message,
    observedGeneration: positive(at(found, 'observedGeneration')),
    excessBytes: nodeExcess(message),
  }
}

function peers(json: unknown, container: string): Peer[] {
  const writers = list(json, 'metadata', 'managedFields')
    .filter(entry => text(entry, 'subresource') === 'resize' && ownsMemory(entry, container))
    .map(entry => ({ name: text(entry, 'manager') ?? '', wroteAtMs: time(entry, 'time') }))
    .filter(({ name }) => name !== fieldManager)
  const vpa = vpaAnnotations.some(name => at(json, 'metadata', 'annotations', name) !== undefined)
  return vpa ? [...writers, { name: 'vertical-pod-autoscaler', wroteAtMs: undefined }] : writers
}

function ownsMemory(entry: unknown, container: string): boolean {
  const spec = at(entry, 'fieldsV1', 'f:spec')
  const own = at(spec, 'f:containers', `k:${JSON.stringify({ name: container })}`)
  return [own, spec].some(holder =>
    ['f:requests', 'f:limits'].some(
      kind => at(holder, 'f:resources', kind, 'f:memory') !== undefined,
    ),
  )
}

function memory(value: unknown, ...path: string[]): MemoryResources {
  return {
    requestBytes: bytes(value, ...path, 'requests', 'memory'),
    limitBytes: bytes(value, ...path, 'limits', 'memory'),
  }
}

/** Undefined when it is not set. Throws KUBERNETES_NOT_KUBERNETES when it is set and no amount of bytes. */
function bytes(value: unknown, ...path: string[]): number | undefined {
  const amount = at(value, ...path)
  if (amount === undefined) return undefined
  const parsed = typeof amount === 'string' ? parseBytes(amount) : undefined
  if (parsed !== undefined) return parsed
  const what = `${path.join('.')} is ${JSON.stringify(amount)}, which is no amount of memory`
  throw new StokerError('KUBERNETES_NOT_KUBERNETES', what)
}

function within(containers: readonly unknown[], name: string): unknown {
  return containers.find(each => text(each, 'name') === name)
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value : undefined
}

function isQosClass(value: string | undefined): value is PodState['qosClass'] {
  return value === 'Guaranteed' || value === 'Burstable' || value === 'BestEffort'
}
