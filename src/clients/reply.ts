/** What TorchServe's replies mean: which of them are errors, and whose. */
import { StokerError } from '../errors.ts'
import type { Reply } from './wire.ts'

/** `model`: a path that names a model. The others exist on every TorchServe, so a 404 there is the wrong port. */
export type Subject = 'model' | 'models' | 'metrics' | 'ping'

/** TorchServe's error for a token that is wrong, expired, missing, or of the other kind. */
export function isTokenRefused(reply: Reply): boolean {
  return reply.status === 400 && errorType(reply) === 'InvalidKeyException'
}

/** TorchServe serves no such path here, whatever the model: it is another of its ports, or a shared one. */
export function isUnknownPath(reply: Reply): boolean {
  return reply.status === 404 && errorType(reply) === 'ResourceNotFoundException'
}

/** Returns the error that a reply is, if it is one; its message names the URL and quotes the reply. */
export function faultOf(reply: Reply, subject: Subject): StokerError | undefined {
  const { status, body } = reply
  if (status >= 200 && status < 300 && !isHtml(reply)) return undefined
  const said = `${reply.asked} answered ${status}${quote(body)}`
  if (status === 403 && body.includes('only accepts HTTPS')) {
    return new StokerError('TORCHSERVE_TLS', said)
  }
  if (isTokenRefused(reply)) {
    return subject === 'metrics'
      ? new StokerError('TORCHSERVE_NOT_TORCHSERVE', `${said}; the metrics port asks for no token`)
      : new StokerError('TORCHSERVE_UNAUTHORIZED', said)
  }
  if (isHtml(reply) || status < 400) return new StokerError('TORCHSERVE_NOT_TORCHSERVE', said)
  if (status >= 500) return new StokerError('TORCHSERVE_FAILED', said)
  if (parse(body) === undefined || isUnknownPath(reply)) {
    return new StokerError('TORCHSERVE_NOT_TORCHSERVE', said)
  }
  if (status !== 404) return new StokerError('TORCHSERVE_REFUSED', said)
  const code = subject === 'model' ? 'TORCHSERVE_NOT_FOUND' : 'TORCHSERVE_NOT_TORCHSERVE'
  return new StokerError(code, said)
}

/** The JSON of a reply that is no error. Throws TORCHSERVE_NOT_TORCHSERVE when it is not JSON, or what `faultOf` found. */
export function jsonOf(reply: Reply, subject: Subject): unknown {
  const fault = faultOf(reply, subject)
  if (fault) throw fault
  const json = parse(reply.body)
  if (json === undefined) {
    const said = `${reply.asked} answered ${reply.status} without JSON${quote(reply.body)}`
    throw new StokerError('TORCHSERVE_NOT_TORCHSERVE', said)
  }
  return json
}

/** The text of a metrics page. Throws TORCHSERVE_NOT_TORCHSERVE for HTML or JSON, or what `faultOf` found. */
export function pageOf(reply: Reply): string {
  const fault = faultOf(reply, 'metrics')
  if (fault) throw fault
  if (/json/i.test(reply.contentType) || /^\s*[{[]/.test(reply.body)) {
    const said = `${reply.asked} answered JSON, not metrics${quote(reply.body)}`
    throw new StokerError('TORCHSERVE_NOT_TORCHSERVE', said)
  }
  return reply.body
}

function errorType(reply: Reply): string | undefined {
  const json = parse(reply.body)
  const type = isObject(json) ? json['type'] : undefined
  return typeof type === 'string' ? type : undefined
}

function isHtml(reply: Reply): boolean {
  return /html/i.test(reply.contentType) || /^\s*</.test(reply.body)
}

/** Undefined when it is not JSON. */
export function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A reply, cut short for a message. */
export function quote(body: string): string {
  const text = body
    .slice(0, 400)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  if (text === '') return ' with an empty body'
  return text.length > 200 ? `: ${text.slice(0, 200)}…` : `: ${text}`
}
