/** The configuration: read from environment variables, checked as a whole, and described. */
import { Ajv } from 'ajv'
import { isServiceLink } from './config/names.ts'
import { parseJson, placeOf, quoted, shown, unknownName, violation } from './config/problems.ts'
import type { AgentValues, Key, ModelValues, PoolValues, Property } from './config/schema.ts'
import {
  allowed,
  formats,
  ownProperties,
  poolProperties,
  properties,
  variable,
} from './config/schema.ts'
import { StokerError } from './errors.ts'
import { parseBytes } from './quantity.ts'

/** How a model's workers are scaled; the global settings with the model's own over them. */
export interface PoolPolicy extends Omit<ModelValues, 'workerMemory' | 'gpuWorkerMemory'> {
  /** Bytes of one worker, as declared. */
  workerMemory: number | undefined
  /** The same on the GPU. */
  gpuWorkerMemory: number | undefined
}

/** What only the user can know of the GPUs. */
export interface GpuPolicy {
  count: number | undefined
  /** Bytes that may be used of each. */
  memory: number | undefined
  sharing: AgentValues['gpuSharing']
}

/** How the memory of the pod may be changed; bytes. */
export interface MemoryPolicy extends Pick<AgentValues, 'memoryLimit'> {
  /** Undefined: it is left as it is. */
  maxMemory: number | undefined
  minMemory: number | undefined
  /** The agent is in a pod, and knows which. */
  inPod: boolean
}

/** The agent's own pod, and the API server that knows it. */
export interface PodConfig {
  /** KUBERNETES_SERVICE_HOST: a name or an IP address, IPv6 without brackets. */
  host: string
  port: number
  namespace: string
  pod: string
  /** The pod's uid: nothing is done to another pod that has got this one's name. */
  uid: string
  /** The container whose memory is read and resized. */
  container: string
  /** The service account token, renewed by the kubelet. */
  tokenFile: string
  /** PEM file with the cluster's CA. */
  caFile: string
}

interface Models {
  models: Readonly<Record<string, Partial<ModelValues>>>
}

const urls = ['managementUrl', 'metricsUrl', 'inferenceUrl'] as const
type Url = (typeof urls)[number]

const identity = ['podName', 'podNamespace', 'podUid', 'container'] as const
type Pod =
  | (typeof identity)[number]
  | 'dcgmUrl'
  | 'gpuCount'
  | 'gpuMemory'
  | 'gpuSharing'
  | 'tokenFile'
  | 'clusterCaFile'
  | 'maxMemory'
  | 'minMemory'
  | 'memoryLimit'

/** The settings of src/config/schema.ts; those that a model may have too are in `defaults`. */
export interface Config extends Omit<AgentValues, Url | Pod>, Record<Url, URL> {
  defaults: PoolPolicy
  models: Readonly<Record<string, Partial<PoolPolicy>>>
  memory: MemoryPolicy
  gpu: GpuPolicy
  /** The dcgm-exporter to ask about the GPUs of the pod. */
  dcgmUrl: URL | undefined
  /** Undefined outside a pod, or when the agent was not told which pod it is in. */
  pod: PodConfig | undefined
}

export function policyFor(config: Pick<Config, 'defaults' | 'models'>, model: string): PoolPolicy {
  return { ...config.defaults, ...config.models[model] }
}

/** CONFIG_INVALID with every problem that was found. */
export class ConfigError extends StokerError {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super('CONFIG_INVALID', `Errors in the configuration: ${problems.length}`)
    this.name = 'ConfigError'
    this.message += problems.map(problem => `\n  ${problem}`).join('')
    this.problems = problems
  }
}

type Values = AgentValues & PoolValues & Models
type Unchecked = Partial<Record<Key, unknown>>

const isKey = (key: string): key is Key => Object.hasOwn(properties, key)
const keyOf = new Map(
  Object.keys(properties)
    .filter(isKey)
    .map(key => [variable(key), key]),
)

const isValid = new Ajv({ allErrors: true, verbose: true, formats }).compile<Values>({
  type: 'object',
  properties,
})

/** Reads the variables that begin with `STOKER_`; an empty one counts as not set. Throws ConfigError. */
export function parseConfig(env: Record<string, string | undefined>): Config {
  const problems: string[] = []
  const values: Unchecked = {}
  for (const key of keyOf.values()) values[key] = properties[key].default
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('STOKER_') || !text || isServiceLink(name, text)) continue
    const key = keyOf.get(name)
    if (key === undefined) problems.push(unknownName(name, name, [...keyOf.keys()]))
    else if (key === 'models') values.models = readModels(name, text, problems)
    else values[key] = readScalar(text, properties[key].type)
  }
  const valid = isValid(values)
  if (!valid) problems.push(...new Set(isValid.errors?.map(violation)))
  problems.push(...contradictions(values), ...strangers(values, env))
  if (!valid || problems.length > 0) throw new ConfigError(problems)
  return assemble(values, env)
}

/** A text that is not a plain decimal stays a text, which the schema then refuses. */
function readScalar(text: string, type: string | undefined): unknown {
  if (type === 'integer' && /^(0|[1-9]\d*)$/.test(text)) return Number(text)
  if (type === 'number' && /^(0|[1-9]\d*)(\.\d+)?$/.test(text)) return Number(text)
  return text
}

function readModels(name: string, text: string, problems: string[]): unknown {
  const parsed = parseJson(text)
  if ('value' in parsed) return parsed.value
  problems.push(`${name}=${quoted(text)} is not JSON: ${parsed.fault}`)
  return {}
}

function assemble(values: Values, env: Record<string, string | undefined>): Config {
  const { minWorkers, maxWorkers, maxWaitMs, waitProbability, holdMs, ...others } = values
  const { podName, podNamespace, podUid, container, tokenFile, clusterCaFile, ...more } = others
  const { maxMemory, minMemory, memoryLimit, models, ...most } = more
  const { gpuCount, gpuMemory, gpuSharing, gpuMemoryUnknown, dcgmUrl, ...rest } = most
  const pod =
    podName && podNamespace && podUid && container
      ? {
          host: env['KUBERNETES_SERVICE_HOST'] ?? '',
          port: Number(env['KUBERNETES_SERVICE_PORT'] ?? 443),
          namespace: podNamespace,
          pod: podName,
          uid: podUid,
          container,
          tokenFile,
          caFile: clusterCaFile,
        }
      : undefined
  return {
    ...rest,
    managementUrl: new URL(rest.managementUrl),
    metricsUrl: new URL(rest.metricsUrl),
    inferenceUrl: new URL(rest.inferenceUrl),
    pod,
    dcgmUrl: dcgmUrl === undefined ? undefined : new URL(dcgmUrl),
    gpu: { count: gpuCount, memory: bytes(gpuMemory), sharing: gpuSharing },
    memory: {
      memoryLimit,
      maxMemory: bytes(maxMemory),
      minMemory: bytes(minMemory),
      inPod: pod !== undefined,
    },
    defaults: {
      minWorkers,
      maxWorkers,
      maxWaitMs,
      waitProbability,
      holdMs,
      gpuMemoryUnknown,
      workerMemory: bytes(values.workerMemory),
      gpuWorkerMemory: bytes(values.gpuWorkerMemory),
      decoys: ownProperties.decoys.default,
      scale: ownProperties.scale.default,
    },
    models: Object.fromEntries(
      Object.entries(models).map(([model, own]) => [model, ownPolicy(own)]),
    ),
  }
}

/** A model's own settings with amounts in bytes; what it does not set stays absent. */
function ownPolicy({ gpuWorkerMemory, workerMemory, ...own }: Partial<ModelValues>) {
  return {
    ...own,
    ...(workerMemory === undefined ? {} : { workerMemory: bytes(workerMemory) }),
    ...(gpuWorkerMemory === undefined ? {} : { gpuWorkerMemory: bytes(gpuWorkerMemory) }),
  }
}

const bytes = (quantity: string | undefined) =>
  quantity === undefined ? undefined : parseBytes(quantity)

/** The agent knows its pod wholly or not at all, and changes no memory of a pod that it does not know. */
function strangers(values: Unchecked, env: Record<string, string | undefined>): string[] {
  const missing = identity.filter(key => values[key] === undefined).map(variable)
  const isKnown = missing.length === 0
  if (!isKnown && missing.length < identity.length) {
    return [`${missing.join(', ')} must be set, too: together they say which pod the agent is in`]
  }
  if (values.dcgmUrl !== undefined && !isKnown) {
    return [
      `${variable('dcgmUrl')} needs ${missing.join(', ')}, which say whose rows on its page are ours`,
    ]
  }
  if (values.maxMemory !== undefined && !isKnown) {
    return [
      `${variable('maxMemory')}${shown(values.maxMemory, 'quantity')} needs ${missing.join(', ')}, which say whose memory it is`,
    ]
  }
  if (values.deletionCost === 'write' && !isKnown) {
    return [`${variable('deletionCost')}=write needs ${missing.join(', ')}, which say whose it is`]
  }
  if (isKnown && !env['KUBERNETES_SERVICE_HOST']) {
    return [
      `${variable('podName')} is set, but KUBERNETES_SERVICE_HOST is not, which Kubernetes sets in every pod`,
    ]
  }
  const [least, most] = [bytesOf(values.minMemory), bytesOf(values.maxMemory)]
  if (least === undefined || most === undefined || least <= most) return []
  return [
    `${variable('minMemory')}${shown(values.minMemory, 'quantity')} must not be above ${variable('maxMemory')}${shown(values.maxMemory, 'quantity')}`,
  ]
}

const bytesOf = (value: unknown) => (typeof value === 'string' ? parseBytes(value) : undefined)

/** Settings that exclude each other. Values that are wrong by themselves are reported elsewhere. */
function contradictions(values: Unchecked): string[] {
  const problems = crossedLimits(values)
  for (const [model, own] of Object.entries(isRecord(values.models) ? values.models : {})) {
    if (!isRecord(own) || !('minWorkers' in own || 'maxWorkers' in own)) continue
    problems.push(...crossedLimits(values, model, own))
  }
  if (values.caFile !== undefined && urls.every(key => /^http:/i.test(String(values[key])))) {
    const given = urls.map(key => `${variable(key)}${shown(values[key], 'url')}`).join(', ')
    problems.push(`STOKER_CA_FILE is set, so one of these must begin with https://: ${given}`)
  }
  return problems
}

/** Those of all models, or of one model with settings of its own. */
function crossedLimits(values: Unchecked, model = '', own: Record<string, unknown> = {}): string[] {
  const limit = (key: 'minWorkers' | 'maxWorkers') =>
    key in own
      ? { place: placeOf('models', model, key), count: own[key] }
      : { place: variable(key), count: values[key] }
  const [least, most] = [limit('minWorkers'), limit('maxWorkers')]
  if (typeof least.count !== 'number' || typeof most.count !== 'number') return []
  if (least.count <= most.count) return []
  return [`${least.place}=${least.count} must not be above ${most.place}=${most.count}`]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const introduction = [
  'Stoker is set up by environment variables. An empty one counts as not set. Every error is reported at once, before anything starts.',
  'Variables that Kubernetes adds for Services called `stoker` or `stoker-…` are passed over.',
].join(' ')

/** For `--help`: every variable with what it may be, its default and its meaning. */
export function helpText(): string {
  const settings = [...keyOf].flatMap(([name, key]) => [
    `  ${name}`,
    ...paragraphs(key).flatMap(text => wrapped(text, '      ')),
  ])
  return [...wrapped(introduction, ''), '', ...settings, ''].join('\n').replaceAll('`', '')
}

/** The text of docs/config.md. */
export function configMarkdown(): string {
  const settings = [...keyOf].map(([name, key]) => [`## ${name}`, ...paragraphs(key)].join('\n\n'))
  const source = 'This page is made from `src/config/schema.ts`.'
  return `${['# Settings', introduction, source, ...settings].join('\n\n')}\n`
}

function facts(key: string, property: Property): string {
  const value = property.default === undefined ? 'not set' : JSON.stringify(property.default)
  return `Allowed: ${allowed(key, property)}. Default: ${value.replaceAll('"', '')}.`
}

function paragraphs(key: Key): string[] {
  const about = [properties[key].description, facts(key, properties[key])]
  if (key !== 'models') return about
  const shared = Object.keys(poolProperties).map(name => `\`${name}\``)
  const own = Object.entries<Property>(ownProperties).map(
    ([name, property]) =>
      `\`${name}\`, for one model only: ${property.description} ${facts(name, property)}`,
  )
  return [...about, `${shared.join(', ')}: as the variables of these names.`, ...own]
}

function wrapped(text: string, indent: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + word.length > 95) lines.push(`${indent}${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}
