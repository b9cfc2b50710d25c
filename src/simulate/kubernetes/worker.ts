/** The kubelet's work on one pod: one sync after the other, each with the order and the delays of the real one. */
import type { Clock } from '../../clock.ts'
import type { Allocated, Allocation } from './allocation.ts'
import { podLimit, runningContainersOf, sameResources, type Resources } from './objects.ts'
import { statusOf, type Progress } from './report.ts'
import { limitOf, type ContainerRun, type PodRuntime } from './runtime.ts'
import { joined } from './status.ts'
import type { Store } from './store.ts'
import type { Profile } from './versions.ts'

/** From a change of the pod until the kubelet looks. */
const SEEN_MS = 8
const FIRST_CGROUP_MS = 8
const PUBLISH_MS = 14
const SECOND_CGROUP_MS = 10
/** What has failed is tried, and told, at the next look. */
const RESYNC_MS = { least: 11_500, most: 17_000 }

export interface WorkerPorts {
  clock: Clock
  store: Store
  profile: Profile
  allocation: Allocation
  random: () => number
  /** Waits, and says whether the kubelet is still up. */
  step(ms: number): Promise<boolean>
  /** A sync was cut short by the kubelet's end. */
  interrupted(): void
  /** Something was accepted, so that others may have room. */
  accepted(): void
  /** Ends the container for another one with other resources. */
  restart(run: ContainerRun): void
  /** cAdvisor has no numbers of this pod yet. */
  statsMissing(uid: string): boolean
}

export class PodWorker {
  readonly allocated: Allocated
  readonly runtime: PodRuntime
  readonly #ports: WorkerPorts
  #progress: Progress | undefined
  #seen: number
  #dirty = false
  #busy = false
  #resync: AbortController | undefined

  constructor(ports: WorkerPorts, allocated: Allocated, runtime: PodRuntime) {
    this.#ports = ports
    this.allocated = allocated
    this.runtime = runtime
    this.#seen = allocated.generation
  }

  /** Syncs soon; once more if it is at it. */
  wake(): void {
    this.#dirty = true
    if (!this.#busy) void this.#work()
  }

  stop(): void {
    this.#resync?.abort()
  }

  async #work(): Promise<void> {
    this.#busy = true
    this.#resync?.abort()
    while (this.#dirty) {
      this.#dirty = false
      if (await this.#sync()) continue
      this.#ports.interrupted()
      break
    }
    this.#busy = false
  }

  async #sync(): Promise<boolean> {
    const { store, clock, allocation } = this.#ports
    if (!(await this.#step(SEEN_MS))) return false
    const pod = store.byUid(this.runtime.uid)
    if (!pod || pod.metadata.deletionTimestamp !== undefined) return true
    this.#seen = pod.metadata.generation
    if (allocation.consider(this.allocated, pod, clock.now())) this.#ports.accepted()
    const changed = this.#changed()
    if (changed.length === 0) {
      this.#progress = undefined
      if (this.#neverStarted()) this.runtime.hidesLimit = true
      return this.#published(PUBLISH_MS)
    }
    const refusal = this.#refusal(changed)
    return refusal === undefined ? this.#actuate(changed) : this.#refused(refusal)
  }

  /** Running containers whose resources are not what was accepted. Those that do not run get theirs when they start. */
  #changed(): ContainerRun[] {
    return this.runtime.containers.filter(
      run =>
        run.state.kind === 'running' && !sameResources(run.actual ?? {}, this.resourcesOf(run)),
    )
  }

  resourcesOf(run: ContainerRun): Resources {
    const { spec } = this.allocated
    return runningContainersOf(spec).find(({ name }) => name === run.name)?.resources ?? {}
  }

  async #actuate(changed: readonly ContainerRun[]): Promise<boolean> {
    const restarting = changed.filter(run => restarts(run, this.resourcesOf(run)))
    this.#progress = { reason: '', message: '', generation: this.allocated.generation }
    const target = podLimit(this.allocated.spec)
    const rises = (target ?? Infinity) > (this.runtime.limitBytes ?? Infinity)
    if (rises) {
      if (!(await this.#step(FIRST_CGROUP_MS))) return false
      this.#limitPod(target)
    }
    if (!(await this.#published(PUBLISH_MS))) return false
    if (!(await this.#step(SECOND_CGROUP_MS))) return false
    for (const run of changed) {
      if (run.state.kind !== 'running') continue
      if (restarting.includes(run)) this.#ports.restart(run)
      else run.limitBytes = limitOf(this.resourcesOf(run))
    }
    if (!rises) {
      if (!(await this.#step(FIRST_CGROUP_MS))) return false
      this.#limitPod(target)
    }
    if (!(await this.#step(this.#ports.profile.reportMs))) return false
    for (const run of changed) {
      if (run.state.kind === 'running') run.actual = this.resourcesOf(run)
    }
    this.#progress = undefined
    await this.#published(0)
    return true
  }

  #limitPod(bytes: number | undefined): void {
    this.runtime.limitBytes = bytes
    this.runtime.hidesLimit = false
  }

  #neverStarted(): boolean {
    return this.runtime.containers.some(({ actual }) => actual === undefined)
  }

  /** Told at once as being in progress, and as an error only when it is looked at again. */
  async #refused(message: string): Promise<boolean> {
    const { generation } = this.allocated
    const known = this.#progress?.generation === generation
    this.#progress = { reason: known ? 'Error' : '', message: known ? message : '', generation }
    void this.#lookAgain()
    return this.#published(PUBLISH_MS)
  }

  async #lookAgain(): Promise<void> {
    const { clock, random } = this.#ports
    const { signal } = (this.#resync = new AbortController())
    await clock.sleep(RESYNC_MS.least + random() * (RESYNC_MS.most - RESYNC_MS.least), signal)
    if (!signal.aborted) this.wake()
  }

  #step(ms: number): Promise<boolean> {
    return this.#ports.step(ms)
  }

  /** Why limits cannot be lowered; undefined: they can, or need not. The number said of a container is the pod's. */
  #refusal(changed: readonly ContainerRun[]): string | undefined {
    const target = podLimit(this.allocated.spec)
    const usage = this.runtime.sampled(this.#ports.clock.now())
    const missing = this.#ports.statsMissing(this.runtime.uid)
    const lower = (to: number | undefined, from: number | undefined) =>
      to !== undefined && to < (from ?? Infinity)
    const errors: string[] = []
    if (lower(target, this.runtime.limitBytes)) {
      if (missing) errors.push('missing pod memory usage')
      else if (usage >= Number(target)) {
        errors.push(`attempting to set pod memory limit (${target}) below current usage (${usage})`)
      }
    }
    for (const run of changed) {
      const resources = this.resourcesOf(run)
      const limit = limitOf(resources)
      if (!lower(limit, run.limitBytes) || restarts(run, resources)) continue
      if (missing) errors.push(`missing container "${run.name}" memory usage`)
      else if (this.runtime.usage(run) >= Number(limit)) {
        errors.push(
          `attempting to set container "${run.name}" memory limit (${limit}) below current usage (${usage})`,
        )
      }
    }
    return errors.length > 0 ? `cannot decrease memory limits: ${joined(errors)}` : undefined
  }

  /** Writes the status, unless it says that already. Returns whether the kubelet was up to do it. */
  async #published(afterMs: number): Promise<boolean> {
    if (!(await this.#step(afterMs))) return false
    this.publish()
    return true
  }

  publish(): void {
    const { clock, store, profile } = this.#ports
    const pod = store.byUid(this.runtime.uid)
    if (!pod) return
    const known = {
      allocated: this.allocated,
      runtime: this.runtime,
      progress: this.#progress,
      seen: this.#seen,
    }
    const status = statusOf(known, profile, clock.now())
    if (withoutTimes(status) !== withoutTimes(pod.status)) store.setStatus(pod, status)
  }
}

/** A container of this policy is not resized but replaced. */
function restarts(run: ContainerRun, to: Resources): boolean {
  return ['memory', 'cpu'].some(
    name =>
      run.spec.resizePolicy?.some(
        each => each.resourceName === name && each.restartPolicy === 'RestartContainer',
      ) && !sameResources(only(name, run.actual ?? {}), only(name, to)),
  )
}

function only(name: string, { requests, limits }: Resources): Resources {
  const pick = (amount: string | undefined) => (amount === undefined ? {} : { [name]: amount })
  return { requests: pick(requests?.[name]), limits: pick(limits?.[name]) }
}

function withoutTimes(status: object): string {
  return JSON.stringify(status, (key, value: unknown) =>
    key === 'lastTransitionTime' ? undefined : value,
  )
}
