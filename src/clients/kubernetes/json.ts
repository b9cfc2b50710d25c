/** Reading JSON of which nothing is known. */
import { isObject } from '../reply.ts'

/** What stands at a path of names, undefined where nothing or null does. */
export function at(value: unknown, ...path: string[]): unknown {
  const found = path.reduce<unknown>(
    (inner, name) => (isObject(inner) ? inner[name] : undefined),
    value,
  )
  return found ?? undefined
}

/** Undefined where no text stands. */
export function text(value: unknown, ...path: string[]): string | undefined {
  const found = at(value, ...path)
  return typeof found === 'string' ? found : undefined
}

/** Empty where no list stands. */
export function list(value: unknown, ...path: string[]): readonly unknown[] {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

/** Milliseconds since the epoch of a timestamp. */
export function time(value: unknown, ...path: string[]): number | undefined {
  const ms = Date.parse(text(value, ...path) ?? '')
  return Number.isNaN(ms) ? undefined : ms
}
