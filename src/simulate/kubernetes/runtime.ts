/** One pod on the node: its containers' processes and cgroups, as the kernel and the container runtime have them. */
import type { Container, Pod, Resources } from './objects.ts'
import { podLimit, runningContainersOf } from './objects.ts'
import { Amount } from './amount.ts'

/** What a container holds. Files in memory can be given up by the kernel, but count for the kubelet. */
export interface MemoryUse {
  anonBytes: number
  fileBytes: number
  /** Files in a volume that is memory (emptyDir of medium Memory): they cannot be given up. 0. */
  volumeBytes?: number
}

export interface Ended {
  reason: string
  exitCode: number
}

/** How a container is used in this world. Left out: it uses nothing, and runs at once. */
export interface Behaviour {
  /** Asked a few times a second while it runs. */
  use?: (container: string) => MemoryUse
  /** From the pod's creation until its main containers run; its sidecars run at once. */
  startMs?: number
}

export interface ContainerRun {
  readonly name: string
  readonly spec: Container
  state: { kind: 'waiting'; reason: string } | { kind: 'running'; startedAtMs: number }
  last: (Ended & { startedAtMs: number; finishedAtMs: number }) | undefined
  restarts: number
  /** The cgroup's memory limit. */
  limitBytes: number | undefined
  /** What the runtime would read back; undefined before the first start. */
  actual: Resources | undefined
}

/** How old the pod's usage may be that the kubelet compares with; a container's is fresh. */
const SAMPLE_MS = 10_000

export class PodRuntime {
  readonly uid: string
  readonly containers: readonly ContainerRun[]
  /** The pod's cgroup. */
  limitBytes: number | undefined
  /** It was resized before its containers first ran: its cgroup was left behind, and the status hides it. */
  hidesLimit = false
  readonly #use: (container: string) => MemoryUse
  #sample = { bytes: 0, atMs: Number.NEGATIVE_INFINITY }

  constructor(pod: Pod, use: Behaviour['use']) {
    this.uid = pod.metadata.uid
    this.#use = use ?? (() => ({ anonBytes: 0, fileBytes: 0 }))
    this.limitBytes = podLimit(pod.spec)
    this.containers = runningContainersOf(pod.spec).map(spec => ({
      name: spec.name,
      spec,
      state: { kind: 'waiting', reason: 'PodInitializing' },
      last: undefined,
      restarts: 0,
      limitBytes: limitOf(spec.resources),
      actual: undefined,
    }))
  }

  container(name: string): ContainerRun {
    const found = this.containers.find(each => each.name === name)
    if (!found) throw new Error(`The pod runs no container ${name}`)
    return found
  }

  start(run: ContainerRun, resources: Resources, nowMs: number): void {
    if (run.last) run.restarts++
    run.state = { kind: 'running', startedAtMs: nowMs }
    run.limitBytes = limitOf(resources)
    run.actual = resources
  }

  end(run: ContainerRun, ended: Ended, nowMs: number): void {
    if (run.state.kind !== 'running') return
    run.last = { ...ended, startedAtMs: run.state.startedAtMs, finishedAtMs: nowMs }
    run.state = { kind: 'waiting', reason: 'CrashLoopBackOff' }
  }

  /** Bytes in use, files in memory included. */
  usage(run: ContainerRun): number {
    const { anonBytes, fileBytes, volumeBytes = 0 } = this.#held(run)
    return anonBytes + fileBytes + volumeBytes
  }

  /** The whole pod's usage as the kubelet knows it. */
  sampled(nowMs: number): number {
    if (nowMs - this.#sample.atMs >= SAMPLE_MS) {
      const bytes = this.containers.reduce((sum, run) => sum + this.usage(run), 0)
      this.#sample = { bytes, atMs: nowMs }
    }
    return this.#sample.bytes
  }

  /** The containers that hold more than the kernel can keep within a limit, their own or the pod's. */
  overLimit(): ContainerRun[] {
    const running = this.containers.filter(run => run.state.kind === 'running')
    const kept = (run: ContainerRun) => {
      const { anonBytes, volumeBytes = 0 } = this.#held(run)
      return anonBytes + volumeBytes
    }
    const own = running.filter(run => kept(run) > (run.limitBytes ?? Infinity))
    if (own.length > 0) return own
    const all = running.reduce((sum, run) => sum + kept(run), 0)
    if (all <= (this.limitBytes ?? Infinity)) return []
    return running.toSorted((one, other) => kept(other) - kept(one)).slice(0, 1)
  }

  #held(run: ContainerRun): MemoryUse {
    return run.state.kind === 'running' ? this.#use(run.name) : { anonBytes: 0, fileBytes: 0 }
  }
}

export function limitOf(resources: Resources): number | undefined {
  const limit = resources.limits?.['memory']
  return limit === undefined ? undefined : Amount.of(limit).whole
}
