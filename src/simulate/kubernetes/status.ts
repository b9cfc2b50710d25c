/** Kubernetes' answers, good and bad. */
import { isObject } from '../../clients/reply.ts'

export interface Response {
  status: number
  headers?: Readonly<Record<string, string>>
  body: object
}

interface Cause {
  reason?: string
  message?: string
  field?: string
}

interface Failure {
  code: number
  reason: string
  message: string
  details?: { name?: string; kind?: string; causes?: readonly Cause[] }
}

function failure({ code, reason, message, details }: Failure): Response {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' }
  return { status: code, body: { ...status, message, reason, ...(details && { details }), code } }
}

/** What a rule of validation found. */
export interface Finding {
  reason: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired'
  field: string
  message: string
}

export const isForbidden = (field: string, why: string): Finding => {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` }
}
export const isInvalid = (field: string, value: string, why: string): Finding => {
  return { reason: 'FieldValueInvalid', field, message: `Invalid value: "${value}": ${why}` }
}
export const isRequired = (field: string): Finding => {
  return { reason: 'FieldValueRequired', field, message: 'Required value' }
}

export function invalid(name: string, findings: readonly Finding[]): Response {
  // A finding that is made twice is said once, and listed twice.
  const said = [...new Set(findings.map(({ field, message }) => `${field}: ${message}`))]
  const message = `Pod "${name}" is invalid: ${joined(said)}`
  const causes = findings.map(({ reason, message: why, field }) => ({
    reason,
    message: why,
    field,
  }))
  return failure({ code: 422, reason: 'Invalid', message, details: { name, kind: 'Pod', causes } })
}

/** A patch that cannot be read as a change of a pod; `value` as Go prints it. */
export function undecodable(patch: unknown, why: string): Response {
  const finding = isInvalid('patch', goPrinted(patch), why)
  return failure({
    code: 422,
    reason: 'Invalid',
    message: ` "" is invalid: patch: ${finding.message}`,
    details: {
      causes: [{ reason: finding.reason, message: finding.message, field: finding.field }],
    },
  })
}

export function forbidden(name: string, why: string, causes?: readonly Cause[]): Response {
  return failure({
    code: 403,
    reason: 'Forbidden',
    message: `pods "${name}" is forbidden: ${why}`,
    details: { name, kind: 'pods', ...(causes && { causes }) },
  })
}

export const unauthorized = () =>
  failure({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' })

export const podNotFound = (name: string) =>
  failure({
    code: 404,
    reason: 'NotFound',
    message: `pods "${name}" not found`,
    details: { name, kind: 'pods' },
  })

export const pathNotFound = () =>
  failure({
    code: 404,
    reason: 'NotFound',
    message: 'the server could not find the requested resource',
    details: {},
  })

export const conflict = (name: string) =>
  failure({
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on pods "${name}": the object has been modified; please apply your changes to the latest version and try again`,
    details: { name, kind: 'pods' },
  })

export const badRequest = (message: string) => failure({ code: 400, reason: 'BadRequest', message })

export const unsupportedMediaType = () =>
  failure({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: '415: Unsupported Media Type',
    details: {},
  })

export const methodNotAllowed = () =>
  failure({
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
    details: {},
  })

/** As Go joins several errors. */
export function joined(messages: readonly string[]): string {
  return messages.length === 1 ? String(messages[0]) : `[${messages.join(', ')}]`
}

/** As Go prints a map. */
function goPrinted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goPrinted).join(' ')}]`
  if (value === null) return '<nil>'
  if (!isObject(value)) return typeof value === 'string' ? value : JSON.stringify(value)
  const entries = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1))
  return `map[${entries.map(([name, each]) => `${name}:${goPrinted(each)}`).join(' ')}]`
}
