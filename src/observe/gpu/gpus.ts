/** The GPUs of TorchServe's container, from the first source that can tell of them. */
import type { Clock } from '../../clock.ts'
import type { GpuPolicy } from '../../config.ts'
import { StokerError } from '../../errors.ts'
import type { GpuSeen, HostSeen, Note, PoolSeen, Reading } from '../../model.ts'
import type { HostWatch } from '../host.ts'
import { asksByOwnNumber, asNumbered, givenTo, type GpuEnvironment } from './cuda.ts'
import type { Found, GpuFinder } from './source.ts'
import { accessWatch, gpusOfTorchServe } from './torchserve.ts'

export interface GpuWatchOptions {
  policy: GpuPolicy
  clock: Clock
  /** In order of trust. TorchServe's own values come after them. */
  finders: readonly GpuFinder[]
  /** The machine around the GPUs, which may hold them up. */
  host: HostWatch
  /** What TorchServe was started with, given the pid of one of its workers; undefined where it cannot be seen. */
  environmentOf(workerPid: number): GpuEnvironment | undefined
}

export interface GpuWatch {
  /** What is known of the GPUs; nothing is asked before a worker was seen on one, or is to come there. Never blocks, never throws. */
  look(pools: readonly PoolSeen[]): {
    gpus: Reading<readonly GpuSeen[]>
    host: Reading<HostSeen>
    notes: Note[]
  }
  close(): void
}

export function createGpuWatch(options: GpuWatchOptions): GpuWatch {
  const { policy, clock, finders, host } = options
  let used = false
  let environment: GpuEnvironment | undefined
  const lostAccess = accessWatch()
  return {
    look(pools) {
      used ||= usesGpu(pools)
      if (!used) return { gpus: unused, host: unused, notes: [] }
      const nowMs = clock.now()
      const pid = pidOf(pools)
      // Also while it has no worker it is known by those before.
      environment = (pid === undefined ? undefined : options.environmentOf(pid)) ?? environment
      const told: Found[] = []
      for (const finder of finders) {
        told.push(ownOf(someOf(finder.look()), environment, policy.count))
        if (tellsEnough(told.at(-1))) break
      }
      if (!tellsEnough(told.at(-1))) told.push(byTorchServe(pools, environment, nowMs))
      const lost = lostAccess(pools)
      const notes = [...(lost ? [lost] : []), ...told.flatMap(({ faults }) => faults)].map(
        ({ code, message }) => ({ code, message }),
      )
      // Where nobody tells of memory, the first still tells which GPUs there are.
      const found = told.find(tellsEnough) ?? told.find(one => one.gpus)
      const gpus = found?.gpus ?? configured(policy, nowMs)
      if (gpus === undefined) {
        const why = told.flatMap(one => one.why ?? []).join('; ')
        return { gpus: { state: 'absent', why }, host: host.look(), notes }
      }
      const value = gpus.map(gpu => ({
        ...limited(gpu, policy),
        trouble: gpu.trouble ?? lost?.message,
      }))
      const atMs = Math.min(nowMs, ...value.map(gpu => gpu.atMs))
      return { gpus: { state: 'fresh', value, atMs }, host: host.look(), notes }
    },
    close() {
      for (const finder of finders) finder.close()
    },
  }
}

const unused = { state: 'absent', why: 'no model runs on a GPU' } as const

function usesGpu(pools: readonly PoolSeen[]): boolean {
  return pools.some(
    ({ description }) =>
      description.state !== 'absent' &&
      (description.value.device === 'gpu' || description.value.workers.some(worker => worker.gpu)),
  )
}

/** No GPU is nothing told of TorchServe's, which has one. */
function someOf(found: Found): Found {
  return found.gpus?.length === 0 ? { ...found, gpus: undefined, why: 'no GPU is seen' } : found
}

/** Something of memory, or that a GPU is sick; who tells neither does not keep the next one from being asked. */
function tellsEnough(found: Found | undefined): boolean {
  return (found?.gpus ?? []).some(
    ({ freeBytes, totalBytes, trouble, usedBytes }) =>
      trouble !== undefined || (freeBytes ?? totalBytes ?? usedBytes) !== undefined,
  )
}

/** A worker that is seen to live in the agent's own PID namespace. */
function pidOf(pools: readonly PoolSeen[]): number | undefined {
  const workers = pools.flatMap(({ description }) =>
    description.state === 'absent' ? [] : description.value.workers,
  )
  return workers.find(({ alive }) => alive)?.pid
}

/** On a machine where all GPUs are visible to everybody, those of others are not ours to count on. */
function ownOf(
  found: Found,
  environment: GpuEnvironment | undefined,
  count: number | undefined,
): Found {
  if (!found.gpus) return found
  // The rows of dcgm-exporter name the container.
  const isNamed = found.gpus.every(({ source }) => source === 'dcgm')
  const said = isNamed ? found.gpus : givenTo(found.gpus, environment)
  // Who counts them says that what is visible is TorchServe's.
  const given = said ?? (count === undefined ? undefined : found.gpus)
  const own = given && asNumbered(given, environment)
  if (own && own.length <= (count ?? Infinity)) return someOf({ ...found, gpus: own })
  const has = count === undefined ? 'nobody says which are TorchServe’s' : `TorchServe has ${count}`
  const fault = new StokerError('GPU_NOT_OURS', `${found.gpus.length} GPUs are visible, and ${has}`)
  return { gpus: undefined, why: fault.message, faults: [...found.faults, fault] }
}

function byTorchServe(
  pools: readonly PoolSeen[],
  environment: GpuEnvironment | undefined,
  nowMs: number,
): Found {
  if (asksByOwnNumber(environment)) return gpusOfTorchServe(pools, nowMs)
  const why = 'TorchServe asks nvidia-smi by numbers that CUDA_VISIBLE_DEVICES has changed'
  return { gpus: undefined, why, faults: [] }
}

/** What the settings alone tell. */
function configured({ count = 1, memory }: GpuPolicy, nowMs: number): GpuSeen[] | undefined {
  if (memory === undefined) return undefined
  return Array.from({ length: count }, (_, ordinal) => ({
    id: `gpu${ordinal}`,
    ordinal,
    product: undefined,
    mig: undefined,
    totalBytes: memory,
    usedBytes: undefined,
    freeBytes: undefined,
    activity: undefined,
    sharing: undefined,
    source: 'configuration',
    atMs: nowMs,
  }))
}

/** The settings over what was seen: no more memory than they allow, and who shares it. */
function limited(gpu: GpuSeen, policy: GpuPolicy): GpuSeen {
  const sharing = policy.sharing === 'auto' ? gpu.sharing : policy.sharing
  if (policy.memory === undefined) return { ...gpu, sharing }
  const totalBytes = Math.min(policy.memory, gpu.totalBytes ?? Infinity)
  const left = gpu.usedBytes === undefined ? undefined : Math.max(0, totalBytes - gpu.usedBytes)
  const freeBytes = left === undefined ? undefined : Math.min(left, gpu.freeBytes ?? Infinity)
  return { ...gpu, sharing, totalBytes, freeBytes }
}
