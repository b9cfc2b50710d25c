/** What is wrong with the configuration, in words: the place, its value, and what is allowed. */
import type { ErrorObject } from 'ajv'
import { similar } from './names.ts'
import type { Property } from './schema.ts'
import { allowed, modelProperties, oneOf, properties, variable } from './schema.ts'

const settings: Readonly<Record<string, Property>> = {
  ...properties,
  ...modelProperties,
}

/** A refusal of the schema. Its path is /KEY, /models/MODEL or /models/MODEL/KEY, escaped as a JSON pointer. */
export function violation(error: ErrorObject): string {
  const path = error.instancePath.split('/').slice(1)
  const [key = '', model, own] = path.map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const place = placeOf(key, model, own)
  if (error.keyword === 'additionalProperties') {
    const name = String(error.params.additionalProperty)
    return unknownName(`${place}.${name}`, name, Object.keys(modelProperties))
  }
  const property: Partial<Property> = { ...settings[own ?? key] }
  return `${place}${shown(error.data, property.format)} must be ${allowed(own ?? key, property)}`
}

/** `STOKER_MIN_WORKERS`, `STOKER_MODELS["resnet"]` or `STOKER_MODELS["resnet"].minWorkers`. */
export function placeOf(key: string, model?: string, own?: string): string {
  if (model === undefined) return variable(key)
  return `${variable(key)}[${quoted(model)}]${own === undefined ? '' : `.${own}`}`
}

/** Its value is not shown: nobody knows what it is. */
export function unknownName(place: string, name: string, known: readonly string[]): string {
  const meant = similar(name, known)
  if (meant.length > 0) return `${place} is not a setting; did you mean ${oneOf.format(meant)}?`
  return `${place} is not a setting; it must be ${oneOf.format(known)}`
}

type Parsed = { value: unknown } | { fault: string }

/** JSON’s value, or what is wrong and at which position. */
export function parseJson(text: string): Parsed {
  const parsed = tryJson(text)
  if ('value' in parsed || !unexpected(parsed)) return parsed
  // V8 tells the position of every fault but this one, of which it quotes the surroundings.
  let [sound, faulty] = [0, text.length]
  while (faulty - sound > 1) {
    const middle = (sound + faulty) >> 1
    if (unexpected(tryJson(text.slice(0, middle)))) faulty = middle
    else sound = middle
  }
  return { fault: `Unexpected ${quoted(text.charAt(sound))} at position ${sound}` }
}

function tryJson(text: string): Parsed {
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    return { fault: String(error).replace('SyntaxError: ', '') }
  }
}

const unexpected = (parsed: Parsed) =>
  'fault' in parsed && parsed.fault.startsWith('Unexpected token')

/** A URL may hold a password, and what was given for a path may be the content of the file. */
export function shown(value: unknown, format: unknown): string {
  if (format === 'path') return ''
  if (format === 'url') return `=${quoted(String(value).replace(/^(\w+:\/\/)?.*@/s, '$1…@'))}`
  return `=${quoted(value)}`
}

export function quoted(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
