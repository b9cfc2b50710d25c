/** The parts of a pod that injection reads, checked; whatever else a pod has stays as it is. */
import { Ajv, type ErrorObject } from 'ajv'
import type { XStatic } from 'typebox/schema'

const text = { type: ['string', 'null'] } as const
const flag = { type: ['boolean', 'null'] } as const
const texts = { type: ['object', 'null'], additionalProperties: { type: 'string' } } as const
const quantities = {
  type: ['object', 'null'],
  additionalProperties: { type: ['string', 'number'] },
} as const
const claim = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, request: text },
} as const
const resources = {
  type: ['object', 'null'],
  properties: {
    requests: quantities,
    limits: quantities,
    claims: { type: ['array', 'null'], items: claim },
  },
} as const
const user = {
  type: ['object', 'null'],
  properties: {
    runAsUser: { type: ['integer', 'null'] },
    runAsGroup: { type: ['integer', 'null'] },
  },
} as const

const container = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string' },
    image: text,
    command: { type: ['array', 'null'], items: { type: 'string' } },
    args: { type: ['array', 'null'], items: { type: 'string' } },
    workingDir: text,
    ports: {
      type: ['array', 'null'],
      items: {
        type: 'object',
        required: ['containerPort'],
        properties: { containerPort: { type: 'integer' } },
      },
    },
    resources,
    resizePolicy: {
      type: ['array', 'null'],
      items: {
        type: 'object',
        required: ['resourceName', 'restartPolicy'],
        properties: { resourceName: { type: 'string' }, restartPolicy: { type: 'string' } },
      },
    },
    volumeMounts: {
      type: ['array', 'null'],
      items: {
        type: 'object',
        required: ['name', 'mountPath'],
        properties: {
          name: { type: 'string' },
          mountPath: { type: 'string' },
          subPath: text,
          subPathExpr: text,
        },
      },
    },
    securityContext: user,
    lifecycle: {
      type: ['object', 'null'],
      properties: { preStop: { type: ['object', 'null'] } },
    },
  },
} as const

const pod = {
  type: 'object',
  required: ['spec'],
  properties: {
    metadata: { type: ['object', 'null'], properties: { annotations: texts, labels: texts } },
    spec: {
      type: 'object',
      required: ['containers'],
      properties: {
        containers: { type: 'array', items: container },
        initContainers: { type: ['array', 'null'], items: container },
        volumes: {
          type: ['array', 'null'],
          items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
        },
        automountServiceAccountToken: flag,
        hostNetwork: flag,
        hostPID: flag,
        shareProcessNamespace: flag,
        restartPolicy: text,
        terminationGracePeriodSeconds: { type: ['integer', 'null'] },
        nodeSelector: texts,
        os: { type: ['object', 'null'], properties: { name: text } },
        resources,
        securityContext: user,
      },
    },
  },
} as const

/** A pod or a pod template. */
export type Pod = XStatic<typeof pod>
export type Container = XStatic<typeof container>

const isPod = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true }).compile<Pod>(pod)

/** The value as a pod, or what is wrong with it: each the field, its value and what it must be. */
export function readPod(value: unknown): { pod: Pod } | { problems: readonly string[] } {
  if (isPod(value)) return { pod: value }
  return { problems: [...new Set(isPod.errors?.map(problem))] }
}

function problem({ instancePath, keyword, params, data }: ErrorObject): string {
  if (keyword === 'required') {
    return `${fieldOf(`${instancePath}/${String(params.missingProperty)}`)} is missing`
  }
  const types = [params.type].flat().filter(type => type !== 'null')
  return `${fieldOf(instancePath)}=${JSON.stringify(data).slice(0, 80)} must be ${types.map(words).join(' or ')}`
}

function words(type: unknown): string {
  const known = {
    string: 'a text (in quotes)',
    object: 'a mapping',
    array: 'a list',
    boolean: 'true or false',
  }
  return Object.entries(known).find(([name]) => name === type)?.[1] ?? `a ${String(type)}`
}

/** `/spec/containers/0/name` as `spec.containers[0].name`. */
function fieldOf(pointer: string): string {
  const steps = pointer.split('/').slice(1)
  const parts = steps.map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const shown = parts.map(step => {
    if (/^\d+$/.test(step)) return `[${step}]`
    return /^\w+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
  })
  return shown.join('').replace(/^\./, '') || 'the pod'
}
