/** What differs between the versions of Kubernetes, for those who resize memory. */
export interface Profile {
  /** Whether `pods/resize` is served. */
  resize: boolean
  /** Whether the kubelet says which generation it has seen. */
  observedGeneration: boolean
  /** Whether a memory limit can be lowered, or added, without a restart. */
  limitsMove: boolean
  /** Whether the API server refuses what the node could never hold; else the kubelet calls it infeasible. */
  checksCapacity: boolean
  /** Whether pods with resources of their own can be resized, and the kubelet reports the pod's; else what is said of them. */
  podLevel: true | string
  /** Whether a container that claims devices is taken for changed, and so cannot be resized. */
  claims: boolean
  /** From the change of the cgroup until the status says so: the kubelet looks at containers every other second, or when told. */
  reportMs: number
}

const gated: Profile = {
  resize: false,
  observedGeneration: false,
  limitsMove: false,
  checksCapacity: false,
  podLevel: 'pods with pod-level resources cannot be resized',
  claims: false,
  reportMs: 1_700,
}
const beta: Profile = { ...gated, resize: true }
const lowering: Profile = { ...beta, observedGeneration: true, limitsMove: true, claims: true }
const stable: Profile = {
  ...lowering,
  podLevel:
    'resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled',
}
const checking: Profile = { ...stable, checksCapacity: true, podLevel: true, reportMs: 35 }
const latest: Profile = { ...checking, claims: false }

export const versions = {
  '1.32': gated,
  '1.33': beta,
  '1.34': lowering,
  '1.35': stable,
  '1.36': checking,
  '1.37': latest,
} as const satisfies Record<string, Profile>

export type Version = keyof typeof versions
