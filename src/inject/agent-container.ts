/** The agent’s container as it is put into a pod. */
import type { Json } from './draft.ts'
import type { Container, Pod } from './pod.ts'

export const AGENT = 'stoker-agent'
export const TOKEN_VOLUME = 'stoker-token'
export const KEYS_VOLUME = 'stoker-keys'
/** Where Kubernetes’ clients, and its own admission, look for the token. */
export const TOKEN_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
/** TorchServe’s working directory, where its key file is shared. */
export const KEYS_FOLDER = '/var/run/torchserve'

/** The user of the agent’s image. */
const IMAGE_USER = 65_532
const TOKEN_SECONDS = 3600
const READ_BY_ALL = 0o444

export interface AgentParts {
  image: string
  pullPolicy: string | undefined
  native: boolean
  port: number
  /** Of TorchServe’s container. */
  container: string
  /** It is told which pod it is in, and gets a token. */
  hasToken: boolean
  env: Readonly<Record<string, string>>
  /** Of CPU and memory. */
  amounts: Record<string, Json> | undefined
  /** Undefined: the pod’s, or else the image’s. */
  user: number | undefined
  /** Likewise. */
  group: number | undefined
  keys: KeysVolume | undefined
  /** Of devices, that it shares with TorchServe. */
  claims: readonly Claim[]
}

type Claim = NonNullable<NonNullable<Container['resources']>['claims']>[number]

/** The volume with TorchServe’s key file. */
export interface KeysVolume {
  volume: string
  /** TorchServe’s own, and not one that was added for this. */
  own: boolean
  subPath: string | undefined
}

export function agentContainer(parts: AgentParts): Record<string, Json> {
  const mounts: Json[] = []
  if (parts.hasToken) mounts.push({ name: TOKEN_VOLUME, mountPath: TOKEN_FOLDER, readOnly: true })
  if (parts.keys) {
    const { volume: name, subPath } = parts.keys
    mounts.push({ name, mountPath: KEYS_FOLDER, readOnly: true, ...(subPath && { subPath }) })
  }
  return {
    name: AGENT,
    image: parts.image,
    ...(parts.pullPolicy !== undefined && { imagePullPolicy: parts.pullPolicy }),
    ...(parts.native && { restartPolicy: 'Always' }),
    args: ['agent'],
    env: environment(parts),
    ports: [{ name: 'stoker-metrics', containerPort: parts.port }],
    ...resourcesOf(parts),
    // What Pod Security's `restricted` asks for, and a read-only root.
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      ...(parts.user !== undefined && { runAsUser: parts.user }),
      ...(parts.group !== undefined && { runAsGroup: parts.group }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(mounts.length > 0 && { volumeMounts: mounts }),
  }
}

function resourcesOf({ amounts, claims }: AgentParts): Record<string, Json> {
  if (claims.length === 0) return amounts ? { resources: amounts } : {}
  const shared = claims.map(({ name, request }) => ({ name, ...(request && { request }) }))
  return { resources: { ...amounts, claims: shared } }
}

function environment({ container, hasToken, env, keys, claims }: AgentParts): Json[] {
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  })
  // Without a token it would look for its pod, and not be let in.
  const identity = [
    field('STOKER_POD_NAME', 'metadata.name'),
    field('STOKER_POD_NAMESPACE', 'metadata.namespace'),
    field('STOKER_POD_UID', 'metadata.uid'),
    { name: 'STOKER_CONTAINER', value: container },
  ]
  const given = {
    ...(keys && { STOKER_KEY_FILE: `${KEYS_FOLDER}/key_file.json` }),
    ...env,
    // The agent computes nothing on a GPU; without this some nodes would give it all of them. Claimed devices come all the same.
    NVIDIA_VISIBLE_DEVICES: 'void',
    // What nvidia-smi needs of the driver, and nothing to compute with.
    ...(claims.length > 0 && { NVIDIA_DRIVER_CAPABILITIES: 'utility' }),
  }
  const values = Object.entries(given).map(([name, value]) => ({ name, value: unexpanded(value) }))
  return [...(hasToken ? identity : []), ...values]
}

/** Kubernetes takes $(NAME) in a value for a reference, and $$ for an escaped $. */
const unexpanded = (value: string) => value.replaceAll('$', () => '$$')

export const tokenVolume: Readonly<Record<string, Json>> = {
  name: TOKEN_VOLUME,
  projected: {
    defaultMode: READ_BY_ALL,
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: TOKEN_SECONDS } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    ],
  },
}

/**
 * What keeps the pod’s QoS class: nothing where no container requests anything or the pod as a whole does; a CPU limit where
 * every container has one, so that a Guaranteed pod stays that and a quota on limits is met.
 */
export function agentAmounts(
  { spec }: Pod,
  cpu: string,
  memory: string,
): Record<string, Json> | undefined {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])]
  if (requests(spec.resources) || !containers.some(one => requests(one.resources))) return undefined
  const limited = containers.every(({ resources }) => isSome(resources?.limits?.['cpu']))
  return { requests: { cpu, memory }, limits: { ...(limited && { cpu }), memory } }
}

const requests = (resources: Container['resources']) =>
  [resources?.requests, resources?.limits].some(
    amounts => isSome(amounts?.['cpu']) || isSome(amounts?.['memory']),
  )

/** A quantity other than zero: Kubernetes takes zero for none here. */
const isSome = (amount: string | number | undefined) =>
  amount !== undefined && /[1-9]/.test(String(amount).replace(/[eE].*/, ''))

/**
 * The user the agent runs as; undefined leaves it to the pod or the image. A pod that runs as root must not pass that on: the
 * kubelet would refuse to start the agent, and so the pod.
 */
export function agentUser({ spec }: Pod, wanted: number | undefined): number | undefined {
  return wanted ?? (spec.securityContext?.runAsUser === 0 ? IMAGE_USER : undefined)
}
