/** The kubelet of the one node, and the kernel beneath it, on the injected clock. */
import type { Clock } from '../../clock.ts'
import type { Random } from '../random.ts'
import { Allocation } from './allocation.ts'
import type { ResourceList, Pod } from './objects.ts'
import { PodRuntime, type Behaviour, type ContainerRun, type Ended } from './runtime.ts'
import type { Store } from './store.ts'
import type { Profile } from './versions.ts'
import { PodWorker, type WorkerPorts } from './worker.ts'

/** After its start the kubelet takes up what it missed only at the first tick of its retries, which then come every three minutes. */
const FIRST_RETRY_MS = 30_000
const RETRY_MS = 180_000
/** From room being made until those that wait get it. */
const AFTER_RESIZE_MS = 30
const AFTER_REMOVAL_MS = 600
/** How often the kernel's limits are held against what containers use. */
const KERNEL_MS = 100
const RESTART_MS = [1_160, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]
/** A container that ran for so long is restarted as if for the first time. */
const FORGIVEN_MS = 600_000

export interface ContainerEvent {
  pod: Pod
  container: string
  /** `oom`: its memory exceeds a limit; on cgroup v1 a process dies of it, on v2 the container, which is told besides. */
  what: 'started' | 'ended' | 'oom'
}

export interface KubeletOptions {
  clock: Clock
  random: Random
  store: Store
  profile: Profile
  node: string
  /** Asked each time. */
  allocatable: () => ResourceList
  cgroups: 'v1' | 'v2'
  behaviourOf: (pod: Pod) => Behaviour
}

export class Kubelet {
  readonly allocation: Allocation
  readonly #options: KubeletOptions
  readonly #workers = new Map<string, PodWorker>()
  readonly #missing = new Map<string, number>()
  readonly #listeners: ((event: ContainerEvent) => void)[] = []
  readonly #closed = new AbortController()
  #up = true
  #life = 0
  readonly #backlog = new Set<PodWorker>()

  constructor(options: KubeletOptions) {
    this.#options = options
    this.allocation = new Allocation(options.allocatable)
    options.store.onChange((change, pod) => {
      if (pod.spec.nodeName !== options.node) return
      if (change === 'added') this.#added(pod)
      else if (change === 'removed') this.#removed(pod)
      else if (change === 'resized') this.#wake(this.#workers.get(pod.metadata.uid))
    })
    void this.#retries(this.#life)
    void this.#kernel()
  }

  onContainer(listener: (event: ContainerEvent) => void): void {
    this.#listeners.push(listener)
  }

  /** What the node itself has for a pod; throws Error where the pod does not run here. */
  runtime(uid: string): PodRuntime {
    const worker = this.#workers.get(uid)
    if (!worker) throw new Error(`No pod ${uid} runs on the node`)
    return worker.runtime
  }

  /** It acts no more; containers go on, and those that end stay so. */
  stop(): void {
    this.#up = false
    this.#life++
  }

  start(): void {
    if (this.#up) return
    this.#up = true
    void this.#retries(++this.#life)
  }

  /** The container ends, and is started again after a while. */
  kill(uid: string, container: string, ended: Ended): void {
    const worker = this.#workers.get(uid)
    if (worker) this.#ended(worker, worker.runtime.container(container), ended)
  }

  /** For so long there are no numbers of this pod’s memory, without which no limit is lowered. */
  hideStats(uid: string, ms: number): void {
    this.#missing.set(uid, this.#options.clock.now() + ms)
  }

  close(): void {
    this.#closed.abort()
    for (const worker of this.#workers.values()) worker.stop()
    this.stop()
  }

  #added(pod: Pod): void {
    const { clock, behaviourOf } = this.#options
    const { use, startMs = 0 } = behaviourOf(pod)
    const runtime = new PodRuntime(pod, use)
    const allocated = this.allocation.add(pod, clock.now())
    const worker = new PodWorker(this.#portsOf(runtime), allocated, runtime)
    this.#workers.set(pod.metadata.uid, worker)
    const isMain = (run: ContainerRun) => pod.spec.containers.some(({ name }) => name === run.name)
    const start = (main: boolean) => {
      for (const run of runtime.containers) if (isMain(run) === main) this.#started(worker, run)
    }
    start(false)
    if (startMs === 0) start(true)
    else void this.#later(startMs, () => start(true))
    worker.publish()
  }

  #portsOf(runtime: PodRuntime): WorkerPorts {
    const { clock, store, profile, random } = this.#options
    return {
      clock,
      store,
      profile,
      random,
      allocation: this.allocation,
      step: ms => this.#step(ms),
      interrupted: () => {
        const worker = this.#workers.get(runtime.uid)
        if (worker) this.#backlog.add(worker)
      },
      accepted: () => void this.#later(AFTER_RESIZE_MS, () => this.#retryWaiting()),
      restart: run => {
        const worker = this.#workers.get(runtime.uid)
        if (worker) this.#ended(worker, run, { reason: 'Completed', exitCode: 0 })
      },
      statsMissing: uid => clock.now() < (this.#missing.get(uid) ?? 0),
    }
  }

  #removed(pod: Pod): void {
    const { uid } = pod.metadata
    this.#workers.get(uid)?.stop()
    this.#workers.delete(uid)
    this.allocation.remove(uid)
    void this.#later(AFTER_REMOVAL_MS, () => this.#retryWaiting())
  }

  #started(worker: PodWorker, run: ContainerRun): void {
    const { clock } = this.#options
    worker.runtime.start(run, worker.resourcesOf(run), clock.now())
    worker.publish()
    this.#tell(worker, run, 'started')
  }

  #ended(worker: PodWorker, run: ContainerRun, ended: Ended): void {
    if (run.state.kind !== 'running') return
    const { clock } = this.#options
    const ranMs = clock.now() - run.state.startedAtMs
    const before = ranMs > FORGIVEN_MS ? 0 : run.restarts
    worker.runtime.end(run, ended, clock.now())
    if (this.#up) worker.publish()
    this.#tell(worker, run, 'ended')
    const afterMs = RESTART_MS[Math.min(before, RESTART_MS.length - 1)] ?? 0
    void this.#later(afterMs, () => this.#restart(worker, run))
  }

  #restart(worker: PodWorker, run: ContainerRun): void {
    const pod = this.#options.store.byUid(worker.runtime.uid)
    if (!pod || pod.metadata.deletionTimestamp !== undefined) return
    if (this.#up) return this.#started(worker, run)
    void this.#later(KERNEL_MS, () => this.#restart(worker, run))
  }

  #tell(worker: PodWorker, run: ContainerRun, what: ContainerEvent['what']): void {
    const event = { pod: worker.allocated.pod, container: run.name, what }
    for (const listener of this.#listeners) listener(event)
  }

  #wake(worker: PodWorker | undefined): void {
    if (!worker) return
    if (this.#up) worker.wake()
    else this.#backlog.add(worker)
  }

  #retryWaiting(): void {
    for (const { pod } of this.allocation.waiting()) this.#wake(this.#workers.get(pod.metadata.uid))
  }

  async #retries(life: number): Promise<void> {
    for (let ms = FIRST_RETRY_MS; ; ms = RETRY_MS) {
      await this.#options.clock.sleep(ms, this.#closed.signal)
      if (life !== this.#life || this.#closed.signal.aborted) return
      for (const worker of this.#backlog) worker.wake()
      this.#backlog.clear()
      this.#retryWaiting()
    }
  }

  /** Whoever holds more than the kernel can keep within a limit is killed for it. */
  async #kernel(): Promise<void> {
    const { clock, cgroups } = this.#options
    for (;;) {
      await clock.sleep(KERNEL_MS, this.#closed.signal)
      if (this.#closed.signal.aborted) return
      for (const worker of this.#workers.values()) {
        worker.runtime.sampled(clock.now())
        for (const run of worker.runtime.overLimit()) {
          this.#tell(worker, run, 'oom')
          if (cgroups === 'v2') this.#ended(worker, run, { reason: 'OOMKilled', exitCode: 137 })
        }
      }
    }
  }

  async #step(ms: number): Promise<boolean> {
    const life = this.#life
    await this.#options.clock.sleep(ms, this.#closed.signal)
    return life === this.#life && this.#up
  }

  async #later(ms: number, act: () => void): Promise<void> {
    await this.#options.clock.sleep(ms, this.#closed.signal)
    if (!this.#closed.signal.aborted) act()
  }
}
