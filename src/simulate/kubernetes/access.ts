/** Who may call: tokens, and rights on pods/resize and pods. */
import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import type { Identity } from './admission.ts'
import type { Pod } from './objects.ts'
import type { Store } from './store.ts'

/** How long a token outlives its pod, in the API server's cache. */
const CACHED_MS = 10_000

export const admin: Identity = { user: 'admin', exempt: true }

export class Access {
  /** `NAMESPACE/USER`: may patch pods/resize there. */
  readonly rights = new Set<string>()
  /** The same of pods, for their deletion costs alone. */
  readonly costRights = new Set<string>()
  readonly #tokens = new Map<string, Identity>()
  readonly #gone = new Map<string, number>()
  readonly #random: Random
  readonly #clock: Clock
  readonly #store: Store

  constructor(clock: Clock, random: Random, store: Store) {
    this.#clock = clock
    this.#random = random
    this.#store = store
    store.onChange((change, pod) => {
      if (change === 'removed') this.#gone.set(pod.metadata.uid, clock.now())
    })
  }

  issue(identity: Identity): string {
    const token = `${identity.user}.${Math.floor(this.#random() * 2 ** 48).toString(36)}`
    this.#tokens.set(token, identity)
    return token
  }

  /** A token as the kubelet mounts it: bound to the pod. */
  issueFor(pod: Pod): string {
    return this.issue({ user: serviceAccountOf(pod), podUid: pod.metadata.uid })
  }

  revoke(token: string): void {
    this.#tokens.delete(token)
  }

  /** Undefined: 401. */
  identify(authorization: string | undefined): Identity | undefined {
    const identity = this.#tokens.get(authorization?.replace(/^Bearer /, '') ?? '')
    const uid = identity?.podUid
    if (uid === undefined || this.#store.byUid(uid)) return identity
    const goneMs = this.#gone.get(uid) ?? 0
    return this.#clock.now() - goneMs < CACHED_MS ? identity : undefined
  }

  mayResize({ user, exempt }: Identity, namespace: string): boolean {
    return exempt === true || this.rights.has(`${namespace}/${user}`)
  }

  mayPatch({ user, exempt }: Identity, namespace: string): boolean {
    return exempt === true || this.costRights.has(`${namespace}/${user}`)
  }
}

export function serviceAccountOf({ metadata, spec }: Pod): string {
  return `system:serviceaccount:${metadata.namespace}:${spec.serviceAccountName}`
}
