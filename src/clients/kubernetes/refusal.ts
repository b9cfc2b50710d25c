/** What the API server's replies to a resize, and to an annotation, mean. One status has many meanings; causes and message tell them apart. */
import { StokerError, type ErrorCode } from '../../errors.ts'
import type { MemoryResources } from '../../model.ts'
import { parse, quote } from '../reply.ts'
import type { Reply } from '../wire.ts'
import { boundsOf, type Bounds } from './bounds.ts'
import { list, text } from './json.ts'

/** An answer that is an error. */
export class KubernetesError extends StokerError {
  readonly status: number
  /** When the API server said to come back. */
  readonly retryAfterMs: number | undefined
  readonly ceiling: Bounds['ceiling']
  readonly floor: Bounds['floor']

  constructor(code: ErrorCode, reply: Reply, { ceiling, floor }: Bounds = noBounds) {
    super(code, `${reply.asked} answered ${reply.status}${said(reply)}`)
    this.name = 'KubernetesError'
    this.status = reply.status
    this.retryAfterMs = reply.retryAfterMs
    this.ceiling = ceiling
    this.floor = floor
  }
}

const none: MemoryResources = { requestBytes: undefined, limitBytes: undefined }
const noBounds: Bounds = { ceiling: none, floor: none }

/** Kubernetes' Status object, as far as it counts. */
interface Status {
  message: string
  /** The kind of the object that was not found. */
  kind: string | undefined
  causes: readonly { reason: string | undefined; field: string | undefined }[]
}

type Rule = readonly [code: ErrorCode, applies: RegExp | ((status: Status) => boolean)]

const hasCause = (reason: string) => (status: Status) =>
  status.causes.some(cause => cause.reason === reason)

/** Policies deny with 422 unless told otherwise, webhooks with any status. */
const policy = /ValidatingAdmissionPolicy '|admission webhook "/

/** What was asked for, and so what a refusal means. */
export interface Ask {
  /** By status; of its rules the first that applies counts. */
  rules: Readonly<Record<number, readonly Rule[]>>
  policy: ErrorCode
  invalid: ErrorCode
}

const always: Readonly<Record<number, readonly Rule[]>> = {
  401: [['KUBERNETES_UNAUTHORIZED', /./]],
  409: [['RESIZE_CONFLICT', /./]],
  429: [['KUBERNETES_BUSY', /./]],
}
const replaced: Rule = [
  'RESIZE_POD_REPLACED',
  ({ causes }) => causes.some(({ field }) => field === 'metadata.uid'),
]
const starting: Rule = ['KUBERNETES_BUSY', /not yet ready to handle request/]

const resizeRules: Ask['rules'] = {
  403: [
    ['RESIZE_NODE_CAPACITY', hasCause('NodeCapacity')],
    ['RESIZE_NODE_PLATFORM', hasCause('UnsupportedPlatform')],
    ['RESIZE_QUOTA', /exceeded quota: |failed quota: /],
    ['RESIZE_LIMIT_RANGE', /(maximum|minimum) \S+ usage per |limit to request ratio per /],
    ['RESIZE_RBAC', /User "[^"]*" cannot /],
    ['RESIZE_NODE_FEATURE', /pod update requires features/],
    ['RESIZE_NODE_MISSING', /node "[^"]*" not found/],
    starting,
    ['RESIZE_POLICY', /./],
  ],
  422: [
    replaced,
    ['RESIZE_NODE_UNSUPPORTED', /without support for resize/],
    ['RESIZE_QOS', /QOS Class may not change/],
    ['RESIZE_LIMIT_RULE', /unless resizePolicy is RestartContainer/],
    // The last is said of a container with claims of devices, whatever is asked; nothing but memory is ever asked here.
    [
      'RESIZE_POD_UNSUPPORTED',
      /pods cannot be resized|pods with pod-level resources|only cpu and memory resources are mutable/,
    ],
    ['RESIZE_INVALID', /./],
  ],
  404: [
    ['RESIZE_POD_GONE', ({ kind }) => kind === 'pods'],
    ['RESIZE_UNSUPPORTED', /./],
  ],
  ...always,
}

export const resizing: Ask = {
  rules: resizeRules,
  policy: 'RESIZE_POLICY',
  invalid: 'RESIZE_INVALID',
}
export const annotating: Ask = {
  rules: {
    403: [['DELETION_COST_RBAC', /User "[^"]*" cannot /], starting, ['DELETION_COST_POLICY', /./]],
    422: [replaced, ['DELETION_COST_INVALID', /./]],
    404: [['RESIZE_POD_GONE', ({ kind }) => kind === 'pods']],
    ...always,
  },
  policy: 'DELETION_COST_POLICY',
  invalid: 'DELETION_COST_INVALID',
}

/** The error that a reply is, if it is one. `wanted`: the memory that was asked for. */
export function refusalOf(
  reply: Reply,
  ask: Ask,
  wanted: MemoryResources,
): KubernetesError | undefined {
  const { status } = reply
  if (status === 200) return undefined
  const told = statusOf(reply)
  const code = told && meaningOf(status, told, ask)
  if (code) return new KubernetesError(code, reply, boundsOf(told.message, wanted))
  if (status === 401) return new KubernetesError('KUBERNETES_UNAUTHORIZED', reply)
  if (status === 429) return new KubernetesError('KUBERNETES_BUSY', reply)
  if (status >= 500) return new KubernetesError('KUBERNETES_FAILED', reply)
  return new KubernetesError(told ? ask.invalid : 'KUBERNETES_NOT_KUBERNETES', reply)
}

function meaningOf(status: number, told: Status, ask: Ask): ErrorCode | undefined {
  if (status < 500 && policy.test(told.message)) return ask.policy
  const rule = ask.rules[status]?.find(([, applies]) =>
    applies instanceof RegExp ? applies.test(told.message) : applies(told),
  )
  return rule?.[0]
}

/** Undefined for a proxy's page, which says nothing about the pod. */
function statusOf(reply: Reply): Status | undefined {
  const json = parse(reply.body)
  if (text(json, 'kind') !== 'Status') return undefined
  return {
    message: text(json, 'message') || 'without a message',
    kind: text(json, 'details', 'kind'),
    causes: list(json, 'details', 'causes').map(cause => ({
      reason: text(cause, 'reason'),
      field: text(cause, 'field'),
    })),
  }
}

/** Kubernetes' own sentence, or the body as it is. */
function said(reply: Reply): string {
  return quote(statusOf(reply)?.message ?? reply.body)
}
