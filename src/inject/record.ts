/** The annotation `stoker.dev/injected`: how to take an injection back. */
import { Ajv } from 'ajv'
import type { Json, Undo } from './draft.ts'

export interface Record {
  undo: readonly Undo[]
  /** What the annotation said before. */
  was?: string
}

const step = {
  anyOf: [
    { type: 'string', not: { const: '__proto__' } },
    {
      type: 'object',
      additionalProperties: { type: 'string' },
      minProperties: 1,
      maxProperties: 1,
    },
  ],
}

const isRecord = new Ajv().compile<Record>({
  type: 'object',
  required: ['undo'],
  additionalProperties: false,
  properties: {
    was: { type: 'string' },
    undo: {
      type: 'array',
      items: {
        type: 'object',
        required: ['at'],
        additionalProperties: false,
        properties: {
          at: { type: 'array', minItems: 1, items: step },
          was: {},
          set: {},
          index: { type: 'integer', minimum: 0 },
        },
      },
    },
  },
})

export const writeRecord = (record: Record): Json => JSON.stringify(record)

/** Undefined where the text is not one that `writeRecord` has written. */
export function readRecord(text: string): Record | undefined {
  try {
    const record: unknown = JSON.parse(text)
    return isRecord(record) ? record : undefined
  } catch {
    return undefined
  }
}
