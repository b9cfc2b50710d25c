/** Why a pod was injected as it was, or was not: one table, from which docs/injection.md is made. */

/**
 * `skipped`: there is nothing to do. `refused`: the agent is wanted and cannot be added; strict mode denies the pod.
 * `advice`: the agent was added, and something is worth knowing.
 */
type Kind = 'injected' | 'removed' | 'skipped' | 'refused' | 'failed' | 'advice'

export const reasonTable = {
  injected: { kind: 'injected', says: 'The agent was added.' },
  removed: { kind: 'removed', says: 'The agent was taken out again, by `stoker uninject`.' },
  disabled: { kind: 'skipped', says: 'The pod has the label `stoker.dev/inject: "false"`.' },
  already_injected: {
    kind: 'skipped',
    says: 'The pod has a container called `stoker-agent`, as native sidecar or beside the others.',
  },
  not_injected: { kind: 'skipped', says: 'There is no agent to take out.' },
  mirror_pod: {
    kind: 'skipped',
    says: 'The pod is a static pod’s mirror; only the file on its node can change it.',
  },
  no_torchserve: {
    kind: 'skipped',
    says: 'No container looks like TorchServe. A pod with the label of its own (rather than its namespace’s) is refused.',
  },
  no_such_container: {
    kind: 'refused',
    says: 'The annotation `stoker.dev/container` names no container of the pod.',
  },
  ambiguous_torchserve: {
    kind: 'refused',
    says: 'Several containers look like TorchServe; `stoker.dev/container` has to name one.',
  },
  invalid_annotation: {
    kind: 'refused',
    says: 'An annotation has a value that is not allowed, or a name that does not exist. All are listed.',
  },
  windows: { kind: 'refused', says: 'The pod runs on Windows; the agent needs Linux.' },
  host_network: {
    kind: 'refused',
    says: 'The pod uses its node’s network, where the agent’s port would be taken on, and open to, the whole node.',
  },
  port_conflict: {
    kind: 'refused',
    says: 'The agent’s port is used in the pod; `stoker.dev/listen-port` chooses another.',
  },
  name_conflict: {
    kind: 'refused',
    says: 'The pod has a volume of a name, or at a path, that the agent needs for its own.',
  },
  job_needs_native: {
    kind: 'refused',
    says: 'The pod ends by itself, and a classic sidecar would keep it from ending; use `stoker.dev/sidecar: native`.',
  },
  no_record: {
    kind: 'refused',
    says: 'The agent was not added by `stoker inject`, the webhook or the policy, so there is no record of what to take back.',
  },
  internal_error: {
    kind: 'failed',
    says: 'The webhook failed on this pod; it was admitted as it is. The webhook’s log has the error.',
  },
  root_user: {
    kind: 'advice',
    says: 'TorchServe runs as root, against which the agent’s token could not be protected: neither processes nor the key file are shared.',
  },
  user_assumed: {
    kind: 'advice',
    says: 'The pod does not say as which user TorchServe runs, so the agent runs as 1000, like TorchServe’s own images; `stoker.dev/user-id` says otherwise.',
  },
  group_unknown: {
    kind: 'advice',
    says: 'Processes are shared only within one group. The pod does not say which TorchServe has (`runAsGroup`), and its user is not 1000, of whom both images know it: the agent gets 0. Where TorchServe’s image has another for its user, let the container say it.',
  },
  key_file_out_of_reach: {
    kind: 'advice',
    says: 'TorchServe’s working directory is set and is no volume, so its key file cannot be shared.',
  },
  cap_below_memory: {
    kind: 'advice',
    says: 'The annotation `stoker.dev/max-memory` is less than the memory that TorchServe’s container has: once lowered, it does not come back.',
  },
  no_claims: {
    kind: 'advice',
    says: 'Claims were to be shared, and TorchServe’s container claims no device (`resources.claims`).',
  },
  memory_fixed: {
    kind: 'advice',
    says: 'A container of the pod claims devices. Kubernetes, up to 1.36 at least, resizes no such pod: workers scale within the memory there is.',
  },
  no_drain: {
    kind: 'advice',
    says: 'A drain was asked for and not added: TorchServe has a preStop hook of its own, the grace period is too short, the sidecar is classic, or the agent does not listen on loopback.',
  },
  memory_restart: {
    kind: 'advice',
    says: 'TorchServe’s resizePolicy restarts it when its memory changes; that was left as it is.',
  },
} as const satisfies Record<string, { kind: Kind; says: string }>

type ReasonCode = keyof typeof reasonTable

export interface Reason {
  code: ReasonCode
  /** A sentence with the names and values at hand. */
  message: string
}
