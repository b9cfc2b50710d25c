/** How many more workers of a model its GPUs have room for. */
import type { PoolPolicy } from '../../config.ts'
import type { GpuInputs, HostSeen, Observation, PoolKey, PoolSeen, Reading } from '../../model.ts'
import type { PoolMemory } from '../memory.ts'
import { largest } from '../window.ts'
import { pulseOf, type Pulse } from './activity.ts'
import { runsOnGpu } from './device.ts'
import { foretell } from './landing.ts'
import { lastSettled, type GpuMemory, type Settled } from './learn.ts'
import { areNumbered, crewsOf, isOn, placesOf, type Crew, type Place } from './places.ts'

/** What the gate knows of one model on a GPU. */
export interface GpuView {
  /** Workers that fit, one landing after the other; undefined: unknown, and `why`. */
  fits: number | undefined
  why: string
  /** Where it is not known how many fit: what can be given out at the most; undefined where that is not known either. */
  mostBytes?: number | undefined
  /** It will be known in a moment, without anybody doing anything. */
  soon: boolean
  /** What is wrong with a GPU that the next worker may land on: nothing is started, not even what was asked for. */
  trouble?: string | undefined
  /** Of the GPUs that its workers are on; absent where it is not known. */
  pulse?: Pulse | undefined
  inputs: Omit<GpuInputs, 'fits'>
}

const MIB = 1_048_576
const GIB = 1_024 * MIB
/** A worker may need more than those before it. */
export const SPARE = 1.15
/** What must stay free for contexts and fragmentation: 512 MiB, or 5 %. */
const MARGIN_BYTES = 512 * MIB
const MARGIN_SHARE = 0.05
/** Less is no worker's need: a CUDA context alone takes up to this (518 MiB on a whole H100), and the model comes on top. */
export const LEAST_BYTES = 512 * MIB
/** No search for room goes further. */
const MOST_WORKERS = 200
/** Over what is used per worker, while it is all that is known of a worker's need. */
const GUESS = 1.5

export interface Rivals {
  policies: { pool(model: string): PoolPolicy }
  memoryOf: (key: PoolKey) => PoolMemory | undefined
  gpu: GpuMemory
}

/** Undefined for a model that does not run on a GPU. */
export function gpuViewOf(key: PoolKey, seen: Observation, rivals: Rivals): GpuView | undefined {
  const pool = seen.pools.find(one => one.key === key)
  if (pool === undefined || pool.description.state === 'absent') return undefined
  if (!runsOnGpu(pool, rivals.memoryOf(key), seen)) return undefined
  const { id, workers } = pool.description.value
  const crews = crewsOf(seen)
  const places = placesOf(seen, crews ?? [])
  const activity = activityOf(places)
  const facts = { activity, cpuBusy: busyOf(seen.host), source: places?.[0]?.source ?? null }
  const nothing = { landing: [], freeBytes: null, workerBytes: null, guessed: false, ...facts }
  if (!places || !crews) {
    const why = !crews ? 'TorchServe’s workers are not all known' : whyNot(seen, crews)
    return { fits: undefined, why, soon: !crews, inputs: nothing }
  }
  const policy = rivals.policies.pool(id.model)
  const one = { key, policy, places, crews, seen, rivals, nothing }
  const trouble = troubleFor(one)
  if (trouble !== undefined) {
    return { fits: undefined, why: trouble, soon: false, trouble, inputs: nothing }
  }
  return { ...roomFor(one), pulse: pulseOf(workers, places) }
}

interface Case {
  key: PoolKey
  policy: PoolPolicy
  places: readonly Place[]
  crews: readonly Crew[]
  seen: Observation
  rivals: Rivals
  nothing: GpuView['inputs']
}

/**
 * What is wrong with the GPU that the next worker lands on. Where that cannot be foretold, a model goes where its workers are,
 * and one without workers may go anywhere.
 */
function troubleFor(one: Case): string | undefined {
  const { crews, key, places } = one
  const first = orderOf(1, one)?.[0]
  if (first !== undefined) return places[first]?.trouble
  const own = crews.find(crew => crew.key === key)?.workers
  return places.find(
    place => isSick(place) && (!own || own.some(worker => isOn(worker, place, places))),
  )?.trouble
}

const isSick = (place: Place) => place.trouble !== undefined

function roomFor(one: Case): GpuView {
  const { key, nothing, places, policy, rivals } = one
  const shared = places.some(place => place.shared)
  const known = needOf(key, policy, shared, rivals.gpu)
  const bytes = known ?? (shared ? undefined : guessOf(key, one))
  const first = orderOf(1, one)?.[0]
  // A sick GPU has no room for the worker whose turn it is; where the turn is unknown, the others count.
  const none = {
    bytes: first === undefined ? Infinity : -Infinity,
    why: undefined,
    soon: undefined,
  }
  const rooms = places.map(place => (isSick(place) ? none : roomOn(place, one)))
  const guessed = known === undefined && bytes !== undefined
  const inputs = { ...nothing, workerBytes: bytes ?? null, guessed }
  const free = rooms.map(room => room.bytes)
  const fullest = Math.min(...free)
  const most = first === undefined ? fullest : (free[first] ?? fullest)
  const unknown = rooms.find(room => room.why !== undefined)
  if (unknown?.why !== undefined) {
    const mostBytes = Number.isFinite(most) ? most : undefined
    return { fits: undefined, why: unknown.why, soon: unknown.soon ?? false, mostBytes, inputs }
  }
  const landing = places.filter(place =>
    first === undefined ? !isSick(place) : place.ordinal === first,
  )
  const whole = {
    ...inputs,
    landing: landing.flatMap(place => place.ids),
    freeBytes: most,
  }
  if (bytes === undefined) {
    const why = shared
      ? 'others use the same GPU, so what a worker needs cannot be learnt; STOKER_GPU_WORKER_MEMORY would say it'
      : 'what a worker needs is not known yet'
    return { fits: undefined, why, soon: !shared, mostBytes: most, inputs: whole }
  }
  return { fits: fitting(bytes * SPARE, free, one), why: '', soon: false, inputs: whole }
}

/** Workers one after the other, each on the GPU it will land on; on the fullest where that is unknown. */
function fitting(bytes: number, free: readonly number[], one: Case): number {
  const order = orderOf(MOST_WORKERS, one)
  if (!order) return Math.min(MOST_WORKERS, Math.max(0, Math.floor(Math.min(...free) / bytes)))
  const left = [...free]
  for (const [count, place] of order.entries()) {
    const after = (left[place] ?? 0) - bytes
    if (after < 0) return count
    left[place] = after
  }
  return order.length
}

/** Where the next workers will land; undefined while others are on their way, for nobody knows whose turn comes first. */
function orderOf(count: number, { places, rivals, seen }: Case): number[] | undefined {
  const isComing = seen.pools.some(pool => comingOf(pool, seen, rivals) > 0)
  return isComing && places.length > 1
    ? undefined
    : foretell(rivals.gpu.round, count, places.length)
}

/** What a worker of the pool is known to need: the larger of what the user says and what was seen. */
function needOf(key: PoolKey, policy: PoolPolicy, shared: boolean, gpu: GpuMemory) {
  const need = shared ? undefined : gpu.needs.get(key)
  const learnt = need && largest(need.bytes)
  const declared = policy.gpuWorkerMemory
  return learnt === undefined ? declared : Math.max(learnt, declared ?? 0)
}

/** No worker needs more than all that is used, divided by the workers of its kind that are there. */
function guessOf(key: PoolKey, { places, rivals }: Case): number | undefined {
  const bounds = places.flatMap(place => {
    const watched = rivals.gpu.places.get(place.ids.join())
    const base = lastSettled(watched)
    const count = base?.counts.get(key)
    if (!base || count === undefined) return []
    return ((base.usedBytes - (watched?.idleBytes ?? 0)) / count) * GUESS
  })
  const bound = Math.max(...bounds)
  return bound > 0 ? bound : undefined
}

/**
 * What can be given out on a place: what is free, less the margin and less what workers are still expected to take; with `why`,
 * that is not known, and it is no more than this.
 */
function roomOn(place: Place, one: Case): { bytes: number; why?: string; soon?: boolean } {
  const name = place.ids.join()
  const { freeBytes, totalBytes, usedBytes } = place
  // Some tell what is used and free, but not what the driver keeps for itself, which nobody could use.
  const usable =
    usedBytes === undefined || freeBytes === undefined ? undefined : usedBytes + freeBytes
  const whole = totalBytes ?? usable
  if (whole === undefined) return { bytes: Infinity, why: `${name}: its memory is not known` }
  const margin = Math.max(MARGIN_BYTES, MARGIN_SHARE * whole)
  const watched = one.rivals.gpu.places.get(name)
  const base = lastSettled(watched)
  const expected = expectedOn(place, base, one)
  if (usedBytes === undefined || freeBytes === undefined) {
    // Where only the settings tell, the user has said so; anybody else who cannot tell may have strangers there.
    const isDeclared = place.source === 'configuration' && !place.shared
    if (isDeclared && expected.allKnown) return { bytes: whole - expected.bytes - margin }
    return { bytes: Infinity, why: `${name}: nobody tells how much of its memory is used` }
  }
  // Before anything has settled: the first reading after the workers changed shows those that are ready.
  const unreadBytes = watched?.readings ? expected.loadingBytes : expected.newBytes
  // The readings may be older than the workers, and workers have not taken all that they need when they are ready.
  const used = Math.max(
    usedBytes,
    (watched?.idleBytes ?? 0) + expected.bytes,
    base ? base.usedBytes + expected.newBytes : usedBytes + unreadBytes,
  )
  const bytes = usedBytes + freeBytes - used - margin
  const { why } = expected
  return why === undefined ? { bytes } : { bytes, why, soon: true }
}

interface Expected {
  bytes: number
  /** Of those that were not there when it was last settled. */
  newBytes: number
  /** Of those that are not ready. */
  loadingBytes: number
  allKnown: boolean
  /** What one of them takes is not known, and counted as the least. */
  why?: string
}

/** What the workers of a place, and those on their way, are expected to take. */
function expectedOn(place: Place, base: Settled | undefined, one: Case): Expected {
  const { crews, places, rivals, seen } = one
  const expected: Expected = { bytes: 0, newBytes: 0, loadingBytes: 0, allKnown: true }
  for (const pool of seen.pools) {
    const { description, key } = pool
    if (description.state === 'absent') continue
    const listed = crews.find(crew => crew.key === key)?.workers ?? []
    const there = listed.filter(worker => isOn(worker, place, places))
    const coming = comingOf(pool, seen, rivals)
    const count = there.length + coming
    const loading = coming + there.filter(({ ready }) => !ready).length
    const added = Math.max(0, count - (base?.counts.get(key) ?? 0))
    const policy = rivals.policies.pool(description.value.id.model)
    const known = needOf(key, policy, place.shared, rivals.gpu)
    expected.bytes += count * (known ?? 0)
    expected.allKnown &&= known !== undefined || count === 0
    const bytes = known ?? guessOf(key, one)
    expected.newBytes += added * (bytes ?? LEAST_BYTES)
    expected.loadingBytes += loading * (bytes ?? LEAST_BYTES)
    if (bytes === undefined && added > 0) {
      expected.why ??= `what a worker of ${key} takes on the GPU is still being measured`
    }
  }
  return expected
}

/** Workers that were asked for and are not listed yet. */
function comingOf(pool: PoolSeen, seen: Observation, { memoryOf }: Rivals): number {
  const memory = memoryOf(pool.key)
  const action = memory?.change?.action
  if (action?.kind !== 'grow' && action?.kind !== 'repair') return 0
  if (pool.description.state === 'absent' || !runsOnGpu(pool, memory, seen)) return 0
  return Math.max(0, action.to - pool.description.value.workers.length)
}

function activityOf(places: readonly Place[] | undefined): number | null {
  const known = places?.flatMap(({ activity }) => activity ?? []) ?? []
  return places && known.length === places.length && known.length > 0 ? Math.max(...known) : null
}

const busyOf = (host: Reading<HostSeen>) => (host.state === 'fresh' ? host.value.cpuBusy : null)

function whyNot({ gpus }: Observation, crews: readonly Crew[]): string {
  if (gpus.state !== 'fresh') return gpus.why
  if (!areNumbered(gpus.value)) {
    return 'the GPUs differ, and it is not known which of them TorchServe means by which number; CUDA_DEVICE_ORDER=PCI_BUS_ID in its environment would say it'
  }
  if (crews.some(({ workers }) => workers.some(({ gpuUse }) => gpuUse === undefined))) {
    return 'TorchServe does not tell which of its GPUs its workers are on'
  }
  return `only ${gpus.value.length} of the GPUs that TorchServe uses are seen`
}

export const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`
