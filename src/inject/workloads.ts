/** Where the pods are in a Kubernetes object. */
import type { Json } from './draft.ts'

export type Place = readonly (string | number)[]

export interface Workload {
  /** `Deployment/resnet`; a List’s items each have their own. */
  name: string
  /** Of the pod, or the template of pods, within the document. */
  at: Place
  pod: unknown
  /** Stoker’s annotations on the object itself, where they do nothing. */
  misplaced: readonly string[]
}

const template = ['spec', 'template']
const places: Readonly<Record<string, Readonly<Record<string, Place>>>> = {
  '': { Pod: [], ReplicationController: template, PodTemplate: ['template'] },
  apps: { Deployment: template, StatefulSet: template, DaemonSet: template, ReplicaSet: template },
  batch: { Job: template, CronJob: ['spec', 'jobTemplate', ...template] },
}

export function workloadsIn(document: Json, at: Place = []): Workload[] {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return []
  const { apiVersion, kind, items, metadata } = document
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return []
  if (Array.isArray(items) && kind.endsWith('List')) {
    return items.flatMap((item, index) => workloadsIn(item, [...at, 'items', index]))
  }
  const group = apiVersion.includes('/') ? apiVersion.replace(/\/.*/, '') : ''
  const within = Object.hasOwn(places, group) ? places[group]?.[kind] : undefined
  if (!within) return []
  const misplaced = within.length === 0 ? [] : Object.keys(Object(member(metadata, 'annotations')))
  return [
    {
      name: [kind, member(metadata, 'name') ?? member(metadata, 'generateName')]
        .filter(part => typeof part === 'string')
        .join('/'),
      at: [...at, ...within],
      pod: within.reduce<Json | undefined>(member, document),
      misplaced: misplaced.filter(name => name.startsWith('stoker.dev/')),
    },
  ]
}

function member(value: Json | undefined, name: string | number): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name) ? value[name] : undefined
}
