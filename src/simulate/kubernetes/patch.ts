/** Changing a pod by a patch: merging, decoding, and what a resize leaves out. */
import { isObject } from '../../clients/reply.ts'
import { Amount } from './amount.ts'
import { kinds, type Container, type Pod, type Resources } from './objects.ts'

/** Lists whose items are known by name; all others are replaced as a whole. */
const namedLists = new Set(['containers', 'initContainers', 'volumes', 'env'])

/** A strategic merge patch. A null removes; an item of an unknown name comes first. */
export function strategicMerge(target: unknown, patch: unknown, key = ''): unknown {
  if (Array.isArray(patch) && Array.isArray(target) && namedLists.has(key)) {
    return mergedByName(target, patch)
  }
  return merged(target, patch, strategicMerge)
}

/** A JSON merge patch: lists are replaced. */
export function jsonMerge(target: unknown, patch: unknown): unknown {
  return merged(target, patch, jsonMerge)
}

function merged(
  target: unknown,
  patch: unknown,
  merge: (target: unknown, patch: unknown, key: string) => unknown,
): unknown {
  if (!isObject(patch)) return patch
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merge(result[key], value, key)
  }
  return result
}

function mergedByName(target: unknown[], patch: unknown[]): unknown[] {
  const named = (items: unknown[], name: unknown) =>
    items.find(item => isObject(item) && item['name'] === name)
  const names = (items: unknown[]) => items.map(item => (isObject(item) ? item['name'] : undefined))
  const added = patch.filter(item => !names(target).includes(isObject(item) && item['name']))
  return [
    ...added,
    ...target.map(item => {
      const change = named(patch, isObject(item) ? item['name'] : undefined)
      return change === undefined ? item : strategicMerge(item, change)
    }),
  ]
}

/** What Kubernetes knows of a pod, as far as patches here go; the values say what is within. */
const schema: Schema = {
  apiVersion: true,
  kind: true,
  metadata: true,
  status: true,
  spec: {
    volumes: true,
    nodeName: true,
    restartPolicy: true,
    serviceAccountName: true,
    os: true,
    priority: true,
    resources: { requests: true, limits: true, claims: true },
    containers: 'containers',
    initContainers: 'containers',
  },
}
const containerSchema: Schema = {
  name: true,
  image: true,
  restartPolicy: true,
  resizePolicy: true,
  env: true,
  volumeMounts: true,
  resources: { requests: true, limits: true, claims: true },
}

interface Schema {
  readonly [field: string]: true | 'containers' | Schema
}

/** The paths of fields that Kubernetes does not have. */
export function unknownFields(value: unknown, known: Schema = schema, path = ''): string[] {
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([name, inner]) => {
    const at = path === '' ? name : `${path}.${name}`
    const within = known[name]
    if (within === undefined) return at
    if (within === true) return []
    if (within !== 'containers') return unknownFields(inner, within, at)
    return Array.isArray(inner)
      ? inner.flatMap((item, place) => unknownFields(item, containerSchema, `${at}[${place}]`))
      : []
  })
}

/** Whether a text stands where an amount should, and is none. */
export function hasBadQuantity(patch: unknown): boolean {
  const spec = isObject(patch) ? patch['spec'] : undefined
  if (!isObject(spec)) return false
  const lists = [spec['containers'], spec['initContainers']].filter(Array.isArray)
  return [spec, ...lists.flat()].some(holder =>
    kinds.some(kind => {
      const resources: unknown = isObject(holder) ? holder['resources'] : undefined
      const amounts = isObject(resources) ? resources[kind] : undefined
      return (
        isObject(amounts) &&
        Object.values(amounts).some(
          amount => amount !== null && Amount.parse(written(amount)) === undefined,
        )
      )
    }),
  )
}

/** A pod as the API server understands it: amounts as it writes them, and the limit for a request that is not there. */
export function decoded(pod: Pod): Pod {
  const container = (each: Container): Container => ({
    ...each,
    resources: withDefaults(canonical(each.resources ?? {})),
  })
  const { resources, containers, initContainers } = pod.spec
  return {
    ...pod,
    spec: {
      ...pod.spec,
      ...(resources && { resources: canonical(resources) }),
      containers: containers.map(container),
      ...(initContainers && { initContainers: initContainers.map(container) }),
    },
  }
}

/**
 * The pod with nothing changed but the resources and resize policies of its containers, and its own. Containers that came or
 * went stay so, for validation to find.
 */
export function resizedPod(old: Pod, changed: Pod): Pod {
  const { resources } = changed.spec
  const { resources: _, ...spec } = old.spec
  const { containers, initContainers } = old.spec
  return {
    ...old,
    spec: {
      ...spec,
      ...(resources && { resources }),
      containers: resizedContainers(containers, changed.spec.containers),
      ...(initContainers && {
        initContainers: resizedContainers(initContainers, changed.spec.initContainers ?? []),
      }),
    },
  }
}

function resizedContainers(
  old: readonly Container[],
  changed: readonly Container[],
): readonly Container[] {
  if (changed.length !== old.length) return changed
  return changed.map(each => {
    const before = old.find(({ name }) => name === each.name)
    if (!before) return each
    const { resizePolicy: _, ...kept } = before
    return {
      ...kept,
      resources: each.resources,
      ...(each.resizePolicy && { resizePolicy: each.resizePolicy }),
    }
  })
}

function withDefaults(resources: Resources): Resources {
  const missing = Object.entries(resources.limits ?? {}).filter(
    ([name]) => resources.requests?.[name] === undefined,
  )
  return missing.length === 0
    ? resources
    : { ...resources, requests: { ...resources.requests, ...Object.fromEntries(missing) } }
}

/** Amounts may be numbers in JSON. */
function written(amount: unknown): string {
  return typeof amount === 'string' ? amount : JSON.stringify(amount)
}

function canonical(resources: Resources): Resources {
  const result: Resources = { ...resources }
  for (const kind of kinds) {
    const amounts = resources[kind]
    if (!amounts) continue
    result[kind] = Object.fromEntries(
      Object.entries(amounts).map(([name, amount]) => [
        name,
        Amount.of(written(amount)).toString(),
      ]),
    )
  }
  return result
}
