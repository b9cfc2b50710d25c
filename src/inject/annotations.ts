/** The annotations `stoker.dev/…` of a pod: one table, from which docs/injection.md is made. */
import { ConfigError, parseConfig, type Config } from '../config.ts'
import { similar } from '../config/names.ts'
import { quoted } from '../config/problems.ts'
import { allowed, oneOf, properties, variable } from '../config/schema.ts'
import { parseBytes } from '../quantity.ts'

export const PREFIX = 'stoker.dev/'
/** The label that asks for the agent, on a pod or its namespace. */
export const LABEL = `${PREFIX}inject`
/** Written into an injected pod: what it takes to undo the injection. */
export const RECORD = `${PREFIX}injected`

interface Annotation {
  says: string
  allowed: string
  /** What it is when neither the pod nor the installation sets it. */
  default?: string
  test(value: string): boolean
}

const matches = (pattern: RegExp) => (value: string) => pattern.test(value)
const choice = { allowed: 'true or false', default: 'false', test: matches(/^(true|false)$/) }
const LEAST_AGENT_BYTES = 64 * 1024 * 1024

/** Those that say what is done to the pod. */
const podAnnotations = {
  container: {
    says: 'TorchServe’s container. When not set, it is the one whose image, command or arguments name `torchserve` or `ts.model_server`, or else the one with the ports 8081 and 8082.',
    allowed: 'the name of a container',
    test: matches(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
  },
  'share-processes': {
    says: 'Shares the pod’s processes (`shareProcessNamespace`) and TorchServe’s user and group with the agent. It needs both to take a worker away without losing a request, and to see what memory workers use. TorchServe is then no longer process 1 of its container, and ends as soon as the pod is deleted, with requests under way: `stoker.dev/drain` prevents that.',
    ...choice,
  },
  'user-id': {
    says: 'The user that the agent runs as. When processes or the key file are shared it has to be TorchServe’s, and is taken from its `securityContext.runAsUser`.',
    allowed: 'a whole number from 1 to 2147483647',
    test: value => /^[1-9]\d{0,9}$/.test(value) && Number(value) <= 2_147_483_647,
  },
  'share-key-file': {
    says: 'Lets the agent read the `key_file.json` of TorchServe’s token authorisation: TorchServe is started in a folder on a volume that both mount, so paths in its command and configuration must be absolute. Where its `workingDir` is a volume already, that is shared.',
    ...choice,
  },
  'agent-only-token': {
    says: 'Takes the service account’s token away from TorchServe, and from containers that have not got it when the pod is created (`automountServiceAccountToken: false`). The agent keeps its own.',
    ...choice,
  },
  'share-claims': {
    says: 'Gives the agent the devices that TorchServe’s container claims (`resources.claims`), so that its nvidia-smi sees these and no others. It could then use them, too. Kubernetes resizes no pod that claims devices: its memory stays as it is.',
    ...choice,
  },
  drain: {
    says: 'Adds a preStop hook to TorchServe’s container, with which a pod that is deleted goes only when all it was asked is answered: TorchServe itself drops what waits and what is being served. The hook needs `python3` in the container and takes at least 5 s; at most it takes the pod’s `terminationGracePeriodSeconds` less 5. docs/scale-in.md has more.',
    ...choice,
  },
  sidecar: {
    says: '`native`: a restartable init container, which starts before and ends after TorchServe and lets Jobs finish (Kubernetes 1.29); TorchServe waits until its image is there. `classic`: one more container.',
    allowed: 'native or classic',
    default: 'native',
    test: matches(/^(native|classic)$/),
  },
  'agent-cpu': {
    says: 'CPU that the agent requests. It is its limit, too, where every container has one. In a pod that requests nothing the agent does neither.',
    allowed: 'an amount of CPU above zero, as 100m or 0.25',
    default: '100m',
    test: value => (parseBytes(value) ?? 0) > 0,
  },
  'agent-memory': {
    says: 'The same for the agent’s memory, which always has its limit.',
    allowed: 'an amount of memory of at least 64Mi, which Node.js needs',
    default: '192Mi',
    test: value => (parseBytes(value) ?? 0) >= LEAST_AGENT_BYTES,
  },
} as const satisfies Record<string, Annotation>

type PodAnnotation = keyof typeof podAnnotations

/** Set by the injection itself, or of no use without a file in the agent’s container. */
const notAnnotations = new Set(
  'caFile drainMs keyFile container podName podNamespace podUid tokenFile clusterCaFile'.split(' '),
)
const nameOf = (key: string) => key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)

/** The agent’s own settings, by the annotation’s name. */
const settings = new Map(
  Object.entries(properties)
    .filter(([key]) => !notAnnotations.has(key) && !Object.hasOwn(podAnnotations, nameOf(key)))
    .map(([key, property]) => [nameOf(key), { key, property, variable: variable(key) }]),
)
const annotationOf = new Map([...settings].map(([name, setting]) => [setting.variable, name]))
const known = [...Object.keys(podAnnotations), ...settings.keys()]

const isPodAnnotation = (name: string): name is PodAnnotation => Object.hasOwn(podAnnotations, name)

/** Values by the annotations’ names without prefix; an empty one counts as not set. */
export type Values = Readonly<Record<string, string>>

export interface Wishes {
  /** What an annotation says, or its default. */
  of(name: PodAnnotation): string | undefined
  is(name: PodAnnotation): boolean
  /** The agent’s variables, in the order of its schema. */
  env: Readonly<Record<string, string>>
  /** What the agent reads from them. */
  config: Config
}

/** The pod’s annotations that are Stoker’s, by name. */
export function ownAnnotations(annotations: Readonly<Record<string, string>> = {}): Values {
  const own = Object.entries(annotations).filter(
    ([key]) => key.startsWith(PREFIX) && key !== RECORD,
  )
  return Object.fromEntries(own.map(([key, value]) => [key.slice(PREFIX.length), value]))
}

/** The wishes, or each problem with its annotation, value and what is allowed. */
export function readWishes(values: Values): Wishes | { problems: readonly string[] } {
  const given = new Map(Object.entries(values).filter(([, value]) => value !== ''))
  const problems: string[] = []
  for (const [name, value] of given) {
    if (isPodAnnotation(name)) {
      const { test, allowed: may } = podAnnotations[name]
      if (!test(value)) problems.push(`${PREFIX}${name}=${quoted(value)} must be ${may}`)
    } else if (!settings.has(name)) problems.push(unknown(name))
  }
  const env: Record<string, string> = {}
  for (const [name, setting] of settings) {
    const value = given.get(name)
    if (value !== undefined) env[setting.variable] = value
  }
  const config = readSettings(env, problems)
  if (!config || problems.length > 0) return { problems }
  const of = (name: PodAnnotation) => {
    const row: Annotation = podAnnotations[name]
    return given.get(name) ?? row.default
  }
  return { of, is: name => of(name) === 'true', env, config }
}

function unknown(name: string): string {
  if (PREFIX + name === LABEL) return `${LABEL} is a label and not an annotation`
  const meant = similar(
    name.replaceAll('-', '_'),
    known.map(other => other.replaceAll('-', '_')),
  )
  const names = (meant.length > 0 ? meant : known).map(other => PREFIX + other.replaceAll('_', '-'))
  const hint =
    meant.length > 0 ? `did you mean ${oneOf.format(names)}?` : `it must be ${oneOf.format(names)}`
  return `${PREFIX}${name} is not an annotation of Stoker; ${hint}`
}

/** Whatever the pod turns out to be: the configuration asks for all of it where it is to change memory. */
const somePod = {
  STOKER_POD_NAME: 'pod',
  STOKER_POD_NAMESPACE: 'namespace',
  STOKER_POD_UID: 'uid',
  STOKER_CONTAINER: 'container',
  KUBERNETES_SERVICE_HOST: '10.0.0.1',
}

function readSettings(
  env: Readonly<Record<string, string>>,
  problems: string[],
): Config | undefined {
  if (env['STOKER_LISTEN_PORT'] === '0') {
    problems.push(`${PREFIX}listen-port="0" must be a whole number from 1 to 65535`)
  }
  try {
    return parseConfig({ ...env, ...somePod })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems.push(...error.problems.map(inAnnotations))
    return undefined
  }
}

/** The configuration’s errors name variables; a pod’s author wrote annotations. */
const inAnnotations = (problem: string) =>
  problem.replace(/\bSTOKER_[A-Z_]+/g, name => {
    const annotation = annotationOf.get(name)
    return annotation === undefined ? name : PREFIX + annotation
  })

/** For docs/injection.md: each annotation with what it may be, its default and its meaning. */
export function annotationRows(): [name: string, allowed: string, usual: string, says: string][] {
  const pod = Object.entries<Annotation>(podAnnotations).map(
    ([name, row]): [string, string, string, string] => [
      PREFIX + name,
      row.allowed,
      row.default ?? 'not set',
      row.says,
    ],
  )
  const agent = [...settings].map(([name, { key, property }]): [string, string, string, string] => [
    PREFIX + name,
    allowed(key, property),
    property.default === undefined
      ? 'not set'
      : JSON.stringify(property.default).replaceAll('"', ''),
    property.description,
  ])
  return [...pod, ...agent]
}
