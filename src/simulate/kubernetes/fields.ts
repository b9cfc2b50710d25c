/** Who owns which field of a pod (metadata.managedFields): whoever changed it last. */
import { isObject } from '../../clients/reply.ts'
import type { ManagedFields } from './objects.ts'

/** A tree in Kubernetes' notation: `f:` a field, `k:` an item of a list by its key; leaves are empty. */
export type Fields = Readonly<Record<string, object>>

/** The fields that differ from `before`; undefined: none does. An amount in another notation does. */
export function changedFields(before: unknown, after: unknown): Fields | undefined {
  const changed: Record<string, object> = {}
  for (const [name, value] of entries(after)) {
    const old = entries(before).find(([other]) => other === name)?.[1]
    if (isSame(old, value)) continue
    changed[name] = isObject(value) || isKeyed(value) ? (changedFields(old, value) ?? {}) : {}
  }
  return Object.keys(changed).length > 0 ? changed : undefined
}

function entries(value: unknown): [string, unknown][] {
  if (isKeyed(value)) {
    return value.map(item => [`k:${JSON.stringify({ name: item['name'] })}`, item])
  }
  return isObject(value) ? Object.entries(value).map(([name, each]) => [`f:${name}`, each]) : []
}

function isKeyed(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every(item => isObject(item) && 'name' in item)
}

export function isSame(one: unknown, other: unknown): boolean {
  if (Array.isArray(one) || Array.isArray(other) || isObject(one) || isObject(other)) {
    if (isObject(one) !== isObject(other) || Array.isArray(one) !== Array.isArray(other)) {
      return false
    }
    const names = new Set([...Object.keys(Object(one)), ...Object.keys(Object(other))])
    return [...names].every(name => isSame(Object(one)[name], Object(other)[name]))
  }
  return one === other
}

/** Gives the fields to one manager, and takes them from all others. The newest entry comes last. */
export function withOwner(
  entriesBefore: readonly ManagedFields[],
  fields: Fields,
  owner: { manager: string; subresource?: string; time: string },
): ManagedFields[] {
  const isOwner = (entry: ManagedFields) =>
    entry.manager === owner.manager && entry.subresource === owner.subresource
  const own = entriesBefore.find(isOwner)?.fieldsV1 ?? {}
  const others = entriesBefore
    .filter(entry => !isOwner(entry))
    .map(entry => ({ ...entry, fieldsV1: without(entry.fieldsV1, fields) }))
    .filter(({ fieldsV1 }) => Object.keys(fieldsV1).length > 0)
  return [
    ...others,
    {
      operation: 'Update',
      apiVersion: 'v1',
      fieldsType: 'FieldsV1',
      ...owner,
      fieldsV1: together(own, fields),
    },
  ]
}

function together(one: object, other: object): object {
  const result: Record<string, object> = Object.fromEntries(Object.entries(one))
  for (const [name, fields] of Object.entries(other)) {
    result[name] = together(result[name] ?? {}, fields)
  }
  return result
}

function without(fields: object, taken: object): object {
  const kept = Object.entries(fields).flatMap(([name, inner]) => {
    const gone: unknown = Object.entries(taken).find(([other]) => other === name)?.[1]
    if (!isObject(gone)) return [[name, inner] as const]
    const rest = without(inner, gone)
    return Object.keys(rest).length > 0 ? [[name, rest] as const] : []
  })
  return Object.fromEntries(kept)
}
