/** Whether a pod can have the agent, and what is going to be done to it. */
import {
  AGENT,
  agentUser,
  KEYS_FOLDER,
  KEYS_VOLUME,
  TOKEN_VOLUME,
  type AgentParts,
  type KeysVolume,
} from './agent-container.ts'
import { LABEL, PREFIX, type Wishes } from './annotations.ts'
import { parseBytes } from '../quantity.ts'
import { drainFor } from './drain.ts'
import type { Container, Pod } from './pod.ts'
import type { Reason } from './reasons.ts'
import { memoryOf } from './target.ts'

/** The user of TorchServe’s own images. */
const TORCHSERVE_USER = 1000

/** Why this pod gets no agent, whatever its annotations say. */
export function obstacleIn({ metadata, spec }: Pod): Reason | undefined {
  if (metadata?.labels?.[LABEL] === 'false') {
    return { code: 'disabled', message: `The label ${LABEL} is "false"` }
  }
  const holders = [...(spec.initContainers ?? []), ...spec.containers]
  if (holders.some(one => one.name === AGENT)) {
    return { code: 'already_injected', message: `There is a container ${AGENT} already` }
  }
  if (metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined) {
    return {
      code: 'mirror_pod',
      message: 'A static pod can only be changed by its file on the node',
    }
  }
  if (spec.os?.name === 'windows' || spec.nodeSelector?.['kubernetes.io/os'] === 'windows') {
    return { code: 'windows', message: 'The pod is for Windows nodes; the agent needs Linux' }
  }
  if (spec.hostNetwork) {
    const message = 'With hostNetwork the agent’s port would be the node’s'
    return { code: 'host_network', message }
  }
  return undefined
}

/** What is going to be done to a pod that can be injected. */
export interface Plan {
  target: Container
  wishes: Wishes
  native: boolean
  port: number
  /** Those TorchServe listens on, as far as they are known. */
  torchservePorts: readonly number[]
  maxMemory: string | undefined
  /** The agent is told which pod it is in and given a token: to change memory, to write a deletion cost, or to find its GPUs among the node's. */
  hasToken: boolean
  shareProcesses: boolean
  user: number | undefined
  group: number | undefined
  /** The volume for the key file. */
  keys: KeysVolume | undefined
  /** Of TorchServe’s container, where they are shared. */
  claims: AgentParts['claims']
  /** The longest that a drain may take, in seconds; undefined: there is none. */
  drainS: number | undefined
  advice: readonly Reason[]
}

export function planFor(pod: Pod, target: Container, wishes: Wishes): Plan {
  const { listenPort, ...urls } = wishes.config
  const sharing = sharingFor(pod, target, wishes)
  const restarts = target.resizePolicy?.some(
    policy => policy.resourceName === 'memory' && policy.restartPolicy !== 'NotRequired',
  )
  const maxMemory = wishes.env['STOKER_MAX_MEMORY']
  const drain = drainFor(pod, target, wishes)
  const claiming = claimsFor(pod, target, wishes)
  const advice = [...sharing.advice, ...claiming.advice, ...drain.advice]
  if (maxMemory !== undefined && restarts) {
    const message = `A change of memory restarts ${target.name}, by its resizePolicy`
    advice.push({ code: 'memory_restart', message })
  }
  const own = memoryOf(target)
  if (maxMemory && own && (parseBytes(own) ?? 0) > (parseBytes(maxMemory) ?? Infinity)) {
    const message = `${PREFIX}max-memory=${maxMemory} is less than the ${own} that ${target.name} has: what was lowered once does not come back`
    advice.push({ code: 'cap_below_memory', message })
  }
  return {
    ...sharing,
    claims: claiming.claims,
    target,
    wishes,
    native: wishes.of('sidecar') === 'native',
    drainS: drain.drainS,
    port: listenPort,
    torchservePorts: [urls.managementUrl, urls.metricsUrl, urls.inferenceUrl].map(url =>
      Number(url.port),
    ),
    maxMemory,
    hasToken:
      maxMemory !== undefined ||
      wishes.config.dcgmUrl !== undefined ||
      wishes.config.deletionCost === 'write',
    advice,
  }
}

/** Processes can only be shared with an agent of the same user and the same group, the key file with one of the same user. */
function sharingFor(
  pod: Pod,
  target: Container,
  wishes: Wishes,
): Pick<Plan, 'shareProcesses' | 'user' | 'group' | 'keys' | 'advice'> {
  const given = wishes.of('user-id')
  const chosen = given === undefined ? undefined : Number(given)
  if (!wishes.is('share-processes') && !wishes.is('share-key-file')) {
    const user = agentUser(pod, chosen)
    return { shareProcesses: false, user, group: undefined, keys: undefined, advice: [] }
  }
  const says = target.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser ?? undefined
  const user = chosen ?? says ?? TORCHSERVE_USER
  if (user === 0) {
    const message = `${target.name} runs as root: neither its processes nor its key file are shared`
    const advice: Reason[] = [{ code: 'root_user', message }]
    const agents = agentUser(pod, undefined)
    return { shareProcesses: false, user: agents, group: undefined, keys: undefined, advice }
  }
  const advice: Reason[] = []
  if (chosen === undefined && says === undefined) {
    const message = `${target.name} is taken to run as user ${user}; if not, set ${PREFIX}user-id`
    advice.push({ code: 'user_assumed', message })
  }
  const group = target.securityContext?.runAsGroup ?? undefined
  const known = group ?? pod.spec.securityContext?.runAsGroup ?? undefined
  if (wishes.is('share-processes') && known === undefined && user !== TORCHSERVE_USER) {
    const message = `${target.name} says no runAsGroup: the agent gets group 0 beside user ${user}; if its image has another, say it`
    advice.push({ code: 'group_unknown', message })
  }
  const keys = wishes.is('share-key-file') ? keysIn(target) : undefined
  if (wishes.is('share-key-file') && !keys) {
    const message = `${target.name}’s workingDir ${target.workingDir} is no volume: its key file cannot be shared`
    advice.push({ code: 'key_file_out_of_reach', message })
  }
  return { shareProcesses: wishes.is('share-processes'), user, group, keys, advice }
}

/** Devices are shared by naming the same claims; what any of the pod's containers claims keeps the pod from being resized. */
function claimsFor(
  { spec }: Pod,
  target: Container,
  wishes: Wishes,
): Pick<Plan, 'claims' | 'advice'> {
  const advice: Reason[] = []
  const own = target.resources?.claims ?? []
  const isShared = wishes.is('share-claims')
  if (isShared && own.length === 0) {
    const message = `${target.name} claims no device (resources.claims): there is none to share`
    advice.push({ code: 'no_claims', message })
  }
  const holder = [...(spec.initContainers ?? []), ...spec.containers].find(
    one => (one.resources?.claims ?? []).length > 0,
  )
  if (holder && wishes.env['STOKER_MAX_MEMORY'] !== undefined) {
    const message = `${holder.name} claims devices, and Kubernetes resizes no such pod: its memory stays as it is`
    advice.push({ code: 'memory_fixed', message })
  }
  return { claims: isShared ? own : [], advice }
}

/** A new volume, or the one that TorchServe works in already. */
function keysIn({ workingDir, volumeMounts }: Container): KeysVolume | undefined {
  if (!workingDir) return { volume: KEYS_VOLUME, own: false, subPath: undefined }
  const folder = (path: string) => path.replace(/(?<=.)\/+$/, '')
  const mount = volumeMounts?.find(one => folder(one.mountPath) === folder(workingDir))
  if (!mount || mount.subPathExpr) return undefined
  return { volume: mount.name, own: true, subPath: mount.subPath ?? undefined }
}

/** What the agent needs for itself and the pod has given away. */
export function conflictIn({ spec }: Pod, plan: Plan): Reason | undefined {
  const containers = [...(spec.initContainers ?? []), ...spec.containers]
  const holder = containers.find(one => one.ports?.some(port => port.containerPort === plan.port))
  if (holder || plan.torchservePorts.includes(plan.port)) {
    const by = holder?.name ?? plan.target.name
    const message = `Port ${plan.port} is ${by}’s; set ${PREFIX}listen-port to a free one`
    return { code: 'port_conflict', message }
  }
  const needed = [
    ...(plan.hasToken ? [TOKEN_VOLUME] : []),
    ...(plan.keys && !plan.keys.own ? [KEYS_VOLUME] : []),
  ]
  const taken = spec.volumes?.find(volume => needed.includes(volume.name))
  if (taken) {
    const message = `The pod has a volume ${taken.name}, a name that the agent needs for its own; rename it`
    return { code: 'name_conflict', message }
  }
  if (needed.includes(KEYS_VOLUME) && plan.target.volumeMounts?.some(isAtKeysFolder)) {
    const message = `${plan.target.name} has a volume at ${KEYS_FOLDER}, where the key file needs one; move it`
    return { code: 'name_conflict', message }
  }
  if (!plan.native && (spec.restartPolicy ?? 'Always') !== 'Always') {
    const message = `With restartPolicy ${spec.restartPolicy} a classic sidecar would keep the pod from ending; set ${PREFIX}sidecar to native`
    return { code: 'job_needs_native', message }
  }
  return undefined
}

const isAtKeysFolder = ({ mountPath }: { mountPath: string }) =>
  mountPath.replace(/\/+$/, '') === KEYS_FOLDER
