/**
 * Every setting: its type, bounds, default and meaning. Names ending in `Ms` are milliseconds.
 *
 * A JSON Schema that TypeBox types and Ajv checks: TypeBox’s own builder and checks would take 20 MiB of the agent’s memory, Ajv takes 2.
 */
import { isIP } from 'node:net'
import type { XStatic } from 'typebox/schema'
import { parseBytes } from '../quantity.ts'
import { gpuPoolProperties, gpuProperties } from './gpu.ts'

const agentProperties = {
  mode: {
    enum: ['act', 'advise'],
    default: 'act',
    description:
      '`advise` observes, decides and reports exactly as `act` does, but changes nothing in TorchServe or the pod.',
  },
  managementUrl: {
    type: 'string',
    format: 'url',
    default: 'http://127.0.0.1:8081',
    description: 'TorchServe’s management API, where models are listed and workers are changed.',
  },
  metricsUrl: {
    type: 'string',
    format: 'url',
    default: 'http://127.0.0.1:8082',
    description:
      'TorchServe’s metrics API. It stays empty until TorchServe runs with `metrics_mode=prometheus`.',
  },
  inferenceUrl: {
    type: 'string',
    format: 'url',
    default: 'http://127.0.0.1:8080',
    description: 'TorchServe’s inference API. Only `/ping` is asked there; no inference is sent.',
  },
  caFile: {
    type: 'string',
    format: 'path',
    description:
      'PEM file with the CA, or the self-signed certificate, to trust when a URL is `https://`.',
  },
  keyFile: {
    type: 'string',
    format: 'path',
    description:
      'The `key_file.json` that TorchServe writes into the folder it was started in. It has mode 0600, so the agent needs the same user id. Not needed when TorchServe runs with `--disable-token-auth`.',
  },
  listenHost: {
    type: 'string',
    format: 'host',
    default: '0.0.0.0',
    description: 'Address on which the agent serves its metrics, decisions and page.',
  },
  listenPort: {
    type: 'integer',
    minimum: 0,
    maximum: 65_535,
    default: 9790,
    description: 'Port of the same; 0 takes any free one.',
  },
  drainMs: {
    type: 'integer',
    minimum: 5_000,
    maximum: 3_600_000,
    default: 25_000,
    description:
      'The longest that `POST /drain` waits for TorchServe to have answered all it was asked. It has to be shorter than the pod’s `terminationGracePeriodSeconds`.',
  },
  tickMs: {
    type: 'integer',
    minimum: 200,
    maximum: 10_000,
    default: 1000,
    description: 'How often the agent observes and decides.',
  },
  timeoutMs: {
    type: 'integer',
    minimum: 100,
    maximum: 30_000,
    default: 2000,
    description:
      'The longest that one call to TorchServe may take, from connecting to the last byte.',
  },
  podName: {
    type: 'string',
    format: 'name',
    description:
      'Name of the agent’s own pod. With the next three it lets the agent change the memory of the TorchServe container; the webhook sets all four.',
  },
  podNamespace: { type: 'string', format: 'name', description: 'Namespace of that pod.' },
  podUid: {
    type: 'string',
    format: 'name',
    description: 'Uid of that pod, so that another one of the same name is never changed.',
  },
  container: {
    type: 'string',
    format: 'name',
    description: 'Name of the container in that pod which TorchServe runs in.',
  },
  tokenFile: {
    type: 'string',
    format: 'path',
    default: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    description:
      'The pod’s service account token. It needs the right to patch `pods/resize`, and `pods` for STOKER_DELETION_COST.',
  },
  clusterCaFile: {
    type: 'string',
    format: 'path',
    default: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    description: 'PEM file with the CA of the Kubernetes API server.',
  },
  maxMemory: {
    type: 'string',
    format: 'quantity',
    description:
      'The most memory the TorchServe container may be given, request and limit. When not set, its memory is left as it is, and workers scale within it.',
  },
  minMemory: {
    type: 'string',
    format: 'quantity',
    description:
      'The least memory the container keeps asking for. When not set, it asks for what its workers need.',
  },
  memoryLimit: {
    enum: ['follow', 'keep'],
    default: 'follow',
    description:
      'In a pod of QoS class Burstable: whether the limit follows the request at the distance it had, or stays and is only raised where workers need more.',
  },
  deletionCost: {
    enum: ['leave', 'write'],
    default: 'leave',
    description:
      '`write`: the agent annotates its pod with what it would cost to lose it (`controller.kubernetes.io/pod-deletion-cost`, from 0, nothing to do, to 20), so that of a ReplicaSet’s pods the idlest go first. It takes the right to patch pods; docs/scale-in.md has it.',
  },
  ...gpuProperties,
  logLevel: {
    enum: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    description: '`info` logs each change with its reason; `debug` logs each tick as well.',
  },
} as const

/** What may be set for all models, and for one. */
export const poolProperties = {
  minWorkers: {
    type: 'integer',
    minimum: 0,
    maximum: 1000,
    default: 1,
    description:
      'The fewest workers a model keeps. With 0 an idle model loses its last worker, and TorchServe answers the request that wakes it with 503: that request is lost, later ones wait until a worker has loaded.',
  },
  maxWorkers: {
    type: 'integer',
    minimum: 1,
    maximum: 1000,
    default: 8,
    description: 'The most workers a model gets, however high its load.',
  },
  maxWaitMs: {
    type: 'integer',
    minimum: 0,
    maximum: 600_000,
    description:
      'How long a request may wait for a worker before that counts as too long. When not set, it is one and a half times what the model takes to serve one.',
  },
  waitProbability: {
    type: 'number',
    exclusiveMinimum: 0,
    exclusiveMaximum: 1,
    default: 0.02,
    description: 'The share of requests that may wait longer than that.',
  },
  holdMs: {
    type: 'integer',
    minimum: 1000,
    maximum: 3_600_000,
    default: 60_000,
    description:
      'How long demand must have been lower before a worker goes. The agent waits at least 20 times as long as the model takes to load.',
  },
  workerMemory: {
    type: 'string',
    format: 'quantity',
    description:
      'What one worker needs in memory, where that cannot be seen yet. What workers are seen to hold after their first requests counts instead as soon as it is known.',
  },
  ...gpuPoolProperties,
} as const

/** What may be set for one model only. */
export const ownProperties = {
  decoys: {
    enum: ['auto', 'on', 'off'],
    default: 'auto',
    description:
      'Whether a describe request may be sent through the model’s handler to retire a worker without losing a request. `auto` stops after a handler answered one with an error.',
  },
  scale: {
    type: 'boolean',
    default: true,
    description: '`false` leaves this model’s workers alone.',
  },
} as const

/** What may be set for one model. */
export const modelProperties = { ...poolProperties, ...ownProperties }

const models = {
  type: 'object',
  additionalProperties: {
    type: 'object',
    additionalProperties: false,
    properties: modelProperties,
  },
  default: {},
  description:
    'What holds for one model instead: a JSON object from model name to its own settings, as in `{"resnet": {"maxWorkers": 4}}`. Names are those in TorchServe’s model list; a name that is not there waits for its model.',
} as const

type Values<Properties> = {
  -readonly [Name in keyof Properties]: Properties[Name] extends { default: unknown }
    ? XStatic<Properties[Name]>
    : XStatic<Properties[Name]> | undefined
}

export type AgentValues = Values<typeof agentProperties>
export type PoolValues = Values<typeof poolProperties>
export type ModelValues = Values<typeof modelProperties>

export type Key = keyof AgentValues | keyof PoolValues | 'models'

/** Every setting that has a variable. */
export const properties: Readonly<Record<Key, Property>> = {
  ...agentProperties,
  ...poolProperties,
  models,
}

export const variable = (key: string) =>
  `STOKER_${key.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()}`

/** What a setting’s schema says of it. */
export interface Property {
  type?: string
  enum?: readonly string[]
  format?: keyof typeof formats
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  default?: unknown
  description: string
}

/** What a string may be, in words and as a check. */
export const formats = {
  url: {
    says: 'http://HOST:PORT or https://HOST:PORT, without user, path or query',
    validate: (text: string) => /^https?:\/\/[^\s/?#@\\]+\/?$/i.test(text) && URL.canParse(text),
  },
  host: {
    says: 'an IP address or a host name, without port or brackets',
    validate: (text: string) => isIP(text) > 0 || /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(text),
  },
  name: {
    says: 'a Kubernetes name: letters, digits, dots and dashes',
    validate: (text: string) => /^[a-z\d]([a-z\d.-]{0,251}[a-z\d])?$/i.test(text),
  },
  quantity: {
    says: 'an amount of memory, as 512Mi or 2Gi',
    validate: (text: string) => (parseBytes(text) ?? 0) > 0,
  },
  path: {
    says: 'the path of a file, not its contents, without white space around it',
    validate: (text: string) => /^[^\s{-](.*\S)?$/.test(text),
  },
}

export const oneOf = new Intl.ListFormat('en-GB', { type: 'disjunction' })

/** What a setting may be, as a phrase that follows “must be”. */
export function allowed(key: string, property: Partial<Property>): string {
  if (property.enum) return oneOf.format(property.enum)
  if (property.format) return formats[property.format].says
  const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = property
  const unit = key.endsWith('Ms') ? ' of milliseconds' : ''
  if (type === 'integer') return `a whole number${unit} from ${minimum} to ${maximum}`
  if (type === 'number') return `a number above ${exclusiveMinimum} and below ${exclusiveMaximum}`
  return type === 'boolean' ? 'true or false' : 'a JSON object'
}
