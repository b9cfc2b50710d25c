/** What the kubelet writes into a pod's status. */
import type { Allocated } from './allocation.ts'
import { Amount } from './amount.ts'
import {
  podTotal,
  runningContainersOf,
  scaled,
  type Condition,
  type ContainerStatus,
  type Kind,
  type PodStatus,
  type ResourceList,
} from './objects.ts'
import type { ContainerRun, PodRuntime } from './runtime.ts'
import { timestamp } from './store.ts'
import type { Profile } from './versions.ts'

/** Where the kubelet stands with a resize that it accepted. */
export interface Progress {
  /** Empty while it acts, and for a while after it failed. */
  reason: '' | 'Error'
  message: string
  generation: number
}

export interface Known {
  allocated: Allocated
  runtime: PodRuntime
  progress: Progress | undefined
  /** The generation it has looked at. */
  seen: number
}

export function statusOf(known: Known, profile: Profile, nowMs: number): PodStatus {
  const { allocated, runtime, seen } = known
  const { spec, pod } = allocated
  const runs = (names: readonly { name: string }[]) =>
    runtime.containers.filter(run => names.some(({ name }) => name === run.name))
  const sidecars = runs(spec.initContainers ?? [])
  const statuses = (containers: readonly ContainerRun[]) =>
    containers.map(run => containerStatus(run, allocated))
  const isRunning = runtime.containers.every(({ state }) => state.kind === 'running')
  const plain = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map(type =>
    condition(type, nowMs),
  )
  return {
    ...(profile.observedGeneration && { observedGeneration: seen }),
    phase: isRunning || pod.status.phase === 'Running' ? 'Running' : 'Pending',
    conditions: [...resizeConditions(known, profile, nowMs), ...plain],
    ...(sidecars.length > 0 && { initContainerStatuses: statuses(sidecars) }),
    containerStatuses: statuses(runs(spec.containers)),
    qosClass: pod.status.qosClass,
    ...(profile.podLevel === true && podResources(known)),
  }
}

function resizeConditions({ allocated, progress }: Known, profile: Profile, nowMs: number) {
  const observed = (generation: number) =>
    profile.observedGeneration ? { observedGeneration: generation } : {}
  const { pending } = allocated
  return [
    ...(pending
      ? [
          {
            ...condition('PodResizePending', nowMs),
            ...observed(pending.generation),
            reason: pending.reason,
            message: pending.message,
          },
        ]
      : []),
    ...(progress
      ? [
          {
            ...condition('PodResizeInProgress', nowMs),
            ...observed(progress.generation),
            ...(progress.reason && { reason: progress.reason, message: progress.message }),
          },
        ]
      : []),
  ]
}

function condition(type: string, nowMs: number): Condition {
  return { type, status: 'True', lastProbeTime: null, lastTransitionTime: timestamp(nowMs) }
}

function containerStatus(run: ContainerRun, { spec }: Allocated): ContainerStatus {
  const { name, image } = run.spec
  const allocated = runningContainersOf(spec).find(each => each.name === name)
  const running = run.state.kind === 'running'
  return {
    name,
    state: stateOf(run),
    lastState: run.last ? { terminated: terminated(run, run.last) } : {},
    ready: running,
    started: running,
    restartCount: run.restarts,
    image,
    imageID: `sha256:${name}`,
    containerID: running ? `containerd://${name}-${run.restarts}` : '',
    ...(run.actual && {
      ...(allocated?.resources.requests && { allocatedResources: allocated.resources.requests }),
      resources: run.actual,
    }),
  }
}

function stateOf({ state }: ContainerRun): object {
  if (state.kind === 'running') return { running: { startedAt: timestamp(state.startedAtMs) } }
  return { waiting: { reason: state.reason } }
}

function terminated(run: ContainerRun, last: NonNullable<ContainerRun['last']>) {
  return {
    exitCode: last.exitCode,
    reason: last.reason,
    startedAt: timestamp(last.startedAtMs),
    finishedAt: timestamp(last.finishedAtMs),
    containerID: `containerd://${run.name}-${run.restarts}`,
  }
}

/** The pod’s own, from Kubernetes 1.36 on. Its memory limit is its cgroup’s, unless that was left behind before the first start. */
function podResources({ allocated: { spec }, runtime }: Known) {
  const limit = runtime.hidesLimit ? podTotal(spec, 'limits', 'memory').whole : runtime.limitBytes
  const cpuLimited = runningContainersOf(spec).every(each => each.resources.limits?.['cpu'])
  const limits: ResourceList = {
    ...(cpuLimited && { cpu: podTotal(spec, 'limits', 'cpu').toString() }),
    ...(limit !== undefined && { memory: mebibytes(limit) }),
  }
  return {
    allocatedResources: totals(spec, 'requests'),
    resources: { limits, requests: totals(spec, 'requests') },
  }
}

function totals(spec: Allocated['spec'], kind: Kind): ResourceList {
  return Object.fromEntries(scaled.map(name => [name, podTotal(spec, kind, name).toString()]))
}

function mebibytes(bytes: number): string {
  return new Amount(BigInt(bytes) * 10n ** 9n, true).toString()
}
