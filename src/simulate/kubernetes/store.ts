/** The pods as the API server keeps them: versions, generations, and who is told of changes. */
import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import { changedFields, withOwner, type Fields } from './fields.ts'
import { sameSpec, type Pod, type PodStatus } from './objects.ts'

export type Change = 'added' | 'resized' | 'annotated' | 'status' | 'deleting' | 'removed'

export class Store {
  readonly #pods = new Map<string, Pod>()
  readonly #listeners: ((change: Change, pod: Pod) => void)[] = []
  readonly #clock: Clock
  readonly #random: Random
  #version = 100

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  get(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(`${namespace}/${name}`)
  }

  byUid(uid: string): Pod | undefined {
    return this.all().find(pod => pod.metadata.uid === uid)
  }

  all(): Pod[] {
    return [...this.#pods.values()]
  }

  onChange(listener: (change: Change, pod: Pod) => void): void {
    this.#listeners.push(listener)
  }

  add(pod: Pod): Pod {
    const { namespace, name } = pod.metadata
    if (this.get(namespace, name)) throw new Error(`There is a pod ${namespace}/${name} already`)
    const time = this.timestamp()
    const metadata = {
      ...pod.metadata,
      uid: this.#uid(),
      generation: 1,
      creationTimestamp: time,
      managedFields: withOwner([], changedFields({}, { spec: pod.spec }) ?? {}, {
        manager: 'kube-controller-manager',
        time,
      }),
    }
    return this.#put('added', { ...pod, metadata })
  }

  /** Who changed which fields is written down; `fields` may name more than was kept. */
  resize(pod: Pod, spec: Pod['spec'], fields: Fields, manager: string): Pod {
    return this.#put('resized', resized(pod, spec, fields, { manager, time: this.timestamp() }))
  }

  /** Annotations and labels as in `to`; the rest stays. */
  annotate(pod: Pod, to: Pod['metadata'], manager: string): Pod {
    return this.#put('annotated', annotated(pod, to, { manager, time: this.timestamp() }))
  }

  /** What `resize` would leave. */
  wouldBe(pod: Pod, spec: Pod['spec'], fields: Fields, manager: string): Pod {
    return resized(pod, spec, fields, { manager, time: this.timestamp() })
  }

  setStatus(pod: Pod, status: PodStatus): Pod {
    const fields = { 'f:status': changedFields({}, status) ?? {} }
    const owner = { manager: 'kubelet', subresource: 'status', time: this.timestamp() }
    const { metadata } = pod
    const managedFields = withOwner(
      metadata.managedFields.filter(({ subresource }) => subresource !== 'status'),
      fields,
      owner,
    )
    return this.#put('status', { ...pod, metadata: { ...metadata, managedFields }, status })
  }

  /** It stays for `graceMs` unless it is removed before. */
  markDeleted(pod: Pod, graceMs: number): Pod {
    const metadata = {
      ...pod.metadata,
      generation: pod.metadata.generation + 1,
      deletionTimestamp: timestamp(this.#clock.now() + graceMs),
      deletionGracePeriodSeconds: Math.ceil(graceMs / 1000),
    }
    return this.#put('deleting', { ...pod, metadata })
  }

  remove({ metadata: { namespace, name, uid } }: Pod): void {
    const pod = this.get(namespace, name)
    if (pod?.metadata.uid !== uid) return
    this.#pods.delete(`${namespace}/${name}`)
    for (const listener of this.#listeners) listener('removed', pod)
  }

  timestamp(): string {
    return timestamp(this.#clock.now())
  }

  #put(change: Change, pod: Pod): Pod {
    const { namespace, name } = pod.metadata
    const stored = {
      ...pod,
      metadata: { ...pod.metadata, resourceVersion: String(++this.#version) },
    }
    this.#pods.set(`${namespace}/${name}`, stored)
    for (const listener of this.#listeners) listener(change, stored)
    return stored
  }

  #uid(): string {
    const digits = Array.from({ length: 32 }, () => Math.floor(this.#random() * 16).toString(16))
    return digits.join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
}

function resized(
  pod: Pod,
  spec: Pod['spec'],
  fields: Fields,
  owner: { manager: string; time: string },
): Pod {
  const { metadata } = pod
  return {
    ...pod,
    spec,
    metadata: {
      ...metadata,
      generation: metadata.generation + (sameSpec(pod.spec, spec) ? 0 : 1),
      managedFields: withOwner(metadata.managedFields, fields, {
        ...owner,
        subresource: 'resize',
      }),
    },
  }
}

function annotated(
  pod: Pod,
  { annotations, labels }: Pod['metadata'],
  owner: { manager: string; time: string },
): Pod {
  const { annotations: _, labels: _before, ...others } = pod.metadata
  const metadata = { ...others, ...(annotations && { annotations }), ...(labels && { labels }) }
  const fields = changedFields({ metadata: pod.metadata }, { metadata }) ?? {}
  const managedFields = withOwner(pod.metadata.managedFields, fields, owner)
  return { ...pod, metadata: { ...metadata, managedFields } }
}

/** As Kubernetes writes times. */
export function timestamp(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
