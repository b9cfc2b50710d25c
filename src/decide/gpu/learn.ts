/** What a worker of each model needs on a GPU, learnt from how the memory in use follows the workers that come and go. */
import type { Observation, PoolKey } from '../../model.ts'
import { addToWindow, emptyWindow, type MaxWindow } from '../window.ts'
import { follow, unknownRoundRobin, type RoundRobin } from './landing.ts'
import { crewsOf, isOn, placesOf, type Crew, type Place } from './places.ts'

export interface GpuMemory {
  places: ReadonlyMap<string, PlaceMemory>
  needs: ReadonlyMap<PoolKey, Need>
  round: RoundRobin
}

/** Readings of one place since its workers are those they are. */
export interface PlaceMemory {
  /** Which workers, in a text to compare. */
  crew: string
  /** Workers by pool; undefined while some are loading or dead. */
  counts: ReadonlyMap<PoolKey, number> | undefined
  sinceMs: number
  requests: ReadonlyMap<PoolKey, number | undefined>
  readings: number
  lastMs: number
  usedBytes: number
  /** Of readings that TorchServe was described after, still with these workers: somebody else may have added some. */
  peakBytes: number
  unconfirmed: { bytes: number; atMs: number } | undefined
  /** The last time that it had settled on other workers. */
  before: Settled | undefined
  /** The least that was used without workers. */
  idleBytes: number | undefined
}

/** What was used by which workers, when nothing was on its way. */
export interface Settled {
  counts: ReadonlyMap<PoolKey, number>
  usedBytes: number
}

interface Need {
  batchSize: number
  bytes: MaxWindow
}

export const noGpuMemory: GpuMemory = {
  places: new Map(),
  needs: new Map(),
  round: unknownRoundRobin,
}

/** What was needed longer ago no longer counts, once something newer is known. */
const REMEMBER_MS = 30 * 60_000
/** One reading may still show what was there before. */
const SETTLED_READINGS = 2

/** Its workers have been the same for long enough, and all are ready: undefined while that is not so. */
function settled(place: PlaceMemory | undefined): Settled | undefined {
  if (place?.counts === undefined || place.readings < SETTLED_READINGS) return undefined
  return { counts: place.counts, usedBytes: place.usedBytes }
}

/** The place as it was when it was last settled. */
export function lastSettled(place: PlaceMemory | undefined): Settled | undefined {
  return settled(place) ?? place?.before
}

/** Takes in one observation; a reading that was taken in already teaches nothing new. */
export function learnGpus(memory: GpuMemory, seen: Observation, nowMs: number): GpuMemory {
  if (seen.torchserve.state !== 'fresh') return { ...memory, round: unknownRoundRobin }
  const crews = crewsOf(seen)
  const places = crews && placesOf(seen, crews)
  if (!crews || !places) return memory
  const listed = new Set(seen.pools.map(({ key }) => key))
  const needs = new Map([...memory.needs].filter(([key]) => listed.has(key)))
  const next = new Map<string, PlaceMemory>()
  for (const place of places) {
    const there = crews.map(crew => ({
      ...crew,
      workers: crew.workers.filter(worker => isOn(worker, place, places)),
    }))
    const id = place.ids.join()
    const now = watch(memory.places.get(id), place, there, nowMs)
    if (!now) continue
    next.set(id, now)
    if (place.shared || now === memory.places.get(id)) continue
    for (const crew of there) {
      const bytes = needOf(crew, now, there)
      if (bytes !== undefined)
        needs.set(crew.key, remember(needs.get(crew.key), crew, bytes, nowMs))
    }
  }
  return { places: next, needs, round: follow(memory.round, crews, places.length) }
}

/** The reading added to those of the same workers, or the first one of others. */
function watch(
  before: PlaceMemory | undefined,
  { atMs, usedBytes }: Place,
  crews: readonly Crew[],
  nowMs: number,
): PlaceMemory | undefined {
  if (usedBytes === undefined) return undefined
  const workers = crews.flatMap(crew => crew.workers)
  const crew = workers.map(({ id, pid, ready }) => `${id}/${pid}/${ready}`).join(' ')
  if (before?.crew === crew) {
    const describedMs = Math.min(...crews.map(one => one.atMs))
    // A reading from before the workers were these is of others.
    if (atMs <= before.lastMs || atMs < before.sinceMs) return confirm(before, describedMs)
    const unconfirmed = { bytes: Math.max(usedBytes, before.unconfirmed?.bytes ?? 0), atMs }
    const readings = before.readings + 1
    const idle =
      workers.length === 0 ? Math.min(before.idleBytes ?? Infinity, usedBytes) : undefined
    const idleBytes = idle ?? before.idleBytes
    const read = { ...before, readings, lastMs: atMs, usedBytes, unconfirmed, idleBytes }
    return confirm(read, describedMs)
  }
  const present = crews.filter(one => one.workers.length > 0)
  return {
    crew,
    counts: workers.every(({ ready }) => ready)
      ? new Map(present.map(one => [one.key, one.workers.length]))
      : undefined,
    sinceMs: nowMs,
    requests: new Map(present.map(({ key, requests }) => [key, requests])),
    readings: 0,
    lastMs: -Infinity,
    usedBytes: 0,
    peakBytes: 0,
    unconfirmed: undefined,
    before: lastSettled(before),
    idleBytes: before?.idleBytes,
  }
}

function confirm(place: PlaceMemory, describedMs: number): PlaceMemory {
  const { peakBytes, unconfirmed } = place
  if (!unconfirmed || describedMs < unconfirmed.atMs) return place
  return { ...place, peakBytes: Math.max(peakBytes, unconfirmed.bytes), unconfirmed: undefined }
}

/** What one worker of the crew was seen to need here; undefined while nothing can be said. */
function needOf(crew: Crew, now: PlaceMemory, crews: readonly Crew[]): number | undefined {
  const count = crew.workers.length
  if (!settled(now)) return undefined
  const alone = crews.every(({ key, workers }) => key === crew.key || workers.length === 0)
  // Memory comes with the first batches, not with the load.
  const served = (crew.requests ?? 0) - (now.requests.get(crew.key) ?? Infinity) >= count
  if (alone && count > 0) {
    const isKnown = served && now.peakBytes > 0
    return isKnown ? positive((now.peakBytes - (now.idleBytes ?? 0)) / count) : undefined
  }
  const changed = now.before && differences(now.before.counts, now.counts ?? new Map())
  if (!now.before || changed?.size !== 1) return undefined
  const by = changed.get(crew.key)
  if (by === undefined) return undefined
  if (by < 0) return positive((now.before.usedBytes - now.usedBytes) / -by)
  return served ? positive((now.peakBytes - now.before.usedBytes) / by) : undefined
}

function differences(before: ReadonlyMap<PoolKey, number>, now: ReadonlyMap<PoolKey, number>) {
  const changed = new Map<PoolKey, number>()
  for (const key of new Set([...before.keys(), ...now.keys()])) {
    const by = (now.get(key) ?? 0) - (before.get(key) ?? 0)
    if (by !== 0) changed.set(key, by)
  }
  return changed
}

const positive = (bytes: number) => (bytes > 0 ? bytes : undefined)

function remember(need: Need | undefined, { batchSize }: Crew, bytes: number, nowMs: number): Need {
  const known = need?.batchSize === batchSize ? need.bytes : emptyWindow
  return { batchSize, bytes: addToWindow(known, nowMs, bytes, REMEMBER_MS) }
}
