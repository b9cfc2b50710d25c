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

/** How a model's workers are scaled; the global settings with the model's own over them. */
export type PoolPolicy = ModelValues

interface Models {
  models: Readonly<Record<string, Partial<PoolPolicy>>>
}

const urls = ['managementUrl', 'metricsUrl', 'inferenceUrl'] as const
type Url = (typeof urls)[number]

/** The settings of src/config/schema.ts; those that a model may have too are in `defaults`. */
export interface Config extends Omit<AgentValues, Url | 'dcgmUrl'>, Record<Url, URL>, Models {
  dcgmUrl: URL | undefined
  defaults: PoolPolicy
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
  problems.push(...contradictions(values))
  if (!valid || problems.length > 0) throw new ConfigError(problems)
  return assemble(values)
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

function assemble(values: Values): Config {
  const { minWorkers, maxWorkers, maxWaitMs, waitProbability, holdMs, ...others } = values
  const { gpuWorkerMib, gpuMemoryUnknown, ...rest } = others
  return {
    ...rest,
    managementUrl: new URL(rest.managementUrl),
    metricsUrl: new URL(rest.metricsUrl),
    inferenceUrl: new URL(rest.inferenceUrl),
    dcgmUrl: rest.dcgmUrl === undefined ? undefined : new URL(rest.dcgmUrl),
    defaults: {
      minWorkers,
      maxWorkers,
      maxWaitMs,
      waitProbability,
      holdMs,
      gpuWorkerMib,
      gpuMemoryUnknown,
      decoys: ownProperties.decoys.default,
      scale: ownProperties.scale.default,
    },
  }
}

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
  if (values.dcgmUrl !== undefined && !(values.podName && values.podNamespace)) {
    problems.push(
      'STOKER_DCGM_URL is set, so STOKER_POD_NAME and STOKER_POD_NAMESPACE must say which rows of dcgm-exporter are of this pod',
    )
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
