/** An AdmissionReview and its answer. A pod is never denied by a fault of ours. */
import { Ajv } from 'ajv'
import { applyPatch } from 'rfc6902'
import type { XStatic } from 'typebox/schema'
import type { Operation } from './draft.ts'
import { inject, type Injection, type Options } from './inject.ts'
import { readPod, type Pod } from './pod.ts'
import { reasonTable, type Reason } from './reasons.ts'
import { faultsIn } from './soundness.ts'

/** Whom an Event is about: the controller that makes the pods. */
export interface Owner {
  apiVersion: string
  kind: string
  name: string
  uid: string
  namespace: string
}

export interface Answer {
  /** The AdmissionReview to send. */
  body: object
  outcome: Injection['outcome'] | 'failed'
  /** The first decided; the others are advice. */
  reasons: readonly [Reason, ...Reason[]]
  /** The fault of ours, where there was one. */
  error?: unknown
  /** Undefined on a dry run, and for a pod that nothing owns. */
  owner: Owner | undefined
  /** NAMESPACE/NAME for the log; a controller's pods have the beginning of a name. */
  pod: string
}

const reviewSchema = {
  type: 'object',
  required: ['request'],
  properties: {
    request: {
      type: 'object',
      required: ['uid', 'object'],
      properties: {
        uid: { type: 'string' },
        namespace: { type: 'string' },
        dryRun: { type: ['boolean', 'null'] },
        object: {},
      },
    },
  },
} as const

const isReview = new Ajv().compile<XStatic<typeof reviewSchema>>(reviewSchema)

/** The steps a pod goes through; a test can make each of them fail. */
const production = { inject, patched, readPod, faultsIn, ownerOf }

/** `strict`: a pod that is refused is denied; otherwise it is admitted as it is, with a warning. */
export function createReviewer(options: Options, strict: boolean, steps = production) {
  /** Undefined for a body that is no AdmissionReview. */
  return (body: unknown): Answer | undefined => {
    if (!isReview(body)) return undefined
    const { uid, object, namespace, dryRun } = body.request
    const pod = nameOf(object, namespace)
    try {
      const original = read(steps, object)
      const result = steps.inject(original, options)
      const reply = result.outcome === 'injected' ? patchFor(steps, original, result) : {}
      const denied = strict && result.outcome === 'refused'
      const { outcome, reasons } = result
      const owner = dryRun ? undefined : steps.ownerOf(object, namespace)
      return {
        body: review(uid, { ...reply, ...verdict(result, denied) }),
        outcome,
        reasons,
        owner,
        pod,
      }
    } catch (error) {
      const message = `The agent was not added, by a fault of Stoker’s: ${textOf(error)}`
      const reason: Reason = { code: 'internal_error', message }
      const allowed = { allowed: true, warnings: warningsFor([reason]) }
      return {
        body: review(uid, allowed),
        outcome: 'failed',
        reasons: [reason],
        error,
        owner: undefined,
        pod,
      }
    }
  }
}

const review = (uid: string, response: object) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  response: { uid, ...response },
})

function read(steps: typeof production, value: unknown): Pod {
  const result = steps.readPod(value)
  if ('problems' in result) throw new Error(result.problems.join('; '))
  return result.pod
}

/** Applied here first: a patch that fails at the API server, or makes the pod invalid there, would deny the pod. */
function patchFor(steps: typeof production, pod: Pod, { operations }: Injection): object {
  // Exactly what is sent; and applying it changes the values in it.
  const text = JSON.stringify(operations)
  const faults = steps.faultsIn(read(steps, steps.patched(pod, JSON.parse(text))))
  if (faults.length > 0) throw new Error(`the pod would have ${faults.join(', ')}`)
  const patch = Buffer.from(text).toString('base64')
  return { patchType: 'JSONPatch', patch }
}

function patched(pod: Pod, operations: Operation[]): unknown {
  const copy = structuredClone(pod)
  const missed = applyPatch(copy, operations).find(fault => fault !== null)
  if (missed) throw missed
  return copy
}

function verdict({ outcome, reasons }: Injection, denied: boolean): object {
  const [{ code, message }] = reasons
  if (denied)
    return {
      allowed: false,
      status: { code: 422, reason: 'Invalid', message: `Stoker: ${message} (${code})` },
    }
  const warnings = outcome === 'skipped' ? [] : warningsFor(reasons)
  return { allowed: true, ...(warnings.length > 0 && { warnings }) }
}

/** Kubernetes shortens longer ones, all of them together to 4096 bytes. */
const MOST_WARNING = 250
const MOST_WARNINGS = 8

const warningsFor = (reasons: readonly Reason[]) =>
  reasons
    .filter(({ code }) => reasonTable[code].kind !== 'injected')
    .slice(0, MOST_WARNINGS)
    .map(({ code, message }) => `Stoker: ${shortened(printable(message))} (${code})`)

const shortened = (text: string) =>
  text.length > MOST_WARNING ? `${text.slice(0, MOST_WARNING)}…` : text

/** A control character would make the API server drop the warning. */
const printable = (text: string) => text.replace(/\p{Cc}+/gu, ' ')

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function nameOf(object: unknown, namespace = ''): string {
  const { name, generateName }: Record<string, unknown> = Object(Object(object).metadata)
  const text = [name, generateName].find(each => typeof each === 'string')
  return `${namespace}/${text ?? ''}`
}

const ownerSchema = {
  type: 'object',
  required: ['apiVersion', 'kind', 'name', 'uid', 'controller'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    name: { type: 'string' },
    uid: { type: 'string' },
    controller: { const: true },
  },
} as const

const isOwner = new Ajv().compile<XStatic<typeof ownerSchema>>(ownerSchema)

function ownerOf(object: unknown, namespace: string | undefined): Owner | undefined {
  const references: unknown = Object(Object(object).metadata).ownerReferences
  if (!Array.isArray(references) || namespace === undefined) return undefined
  const owner: unknown = references.find(reference => isOwner(reference))
  if (!isOwner(owner)) return undefined
  const { apiVersion, kind, name, uid } = owner
  return { apiVersion, kind, name, uid, namespace }
}
