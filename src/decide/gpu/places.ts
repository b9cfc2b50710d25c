import type { GpuSeen, GpuSource, Observation, PoolKey, Worker } from '../../model.ts'

/** Where a worker can land: what TorchServe calls a gpuId. With MIG it is all slices of one GPU, of which it uses one. */
export interface Place {
  ordinal: number
  ids: readonly string[]
  /** Of the least slice. */
  totalBytes: number | undefined
  /** Of all slices, since nobody tells which one is used. */
  usedBytes: number | undefined
  /** Of the fullest slice. */
  freeBytes: number | undefined
  activity: number | undefined
  shared: boolean
  source: GpuSource
  /** What is wrong with one of its GPUs. */
  trouble: string | undefined
  atMs: number
}

/** All places in order, the place with gpuId n at n; undefined while not all of them are seen, or a worker may be on any. */
export function placesOf(
  { gpus }: Pick<Observation, 'gpus'>,
  crews: readonly Crew[],
): readonly Place[] | undefined {
  if (gpus.state !== 'fresh' || gpus.value.length === 0 || !areNumbered(gpus.value))
    return undefined
  const groups = [...Map.groupBy(gpus.value, ({ ordinal }) => ordinal ?? 0)]
  const places = groups.map(placeOf).toSorted((a, b) => a.ordinal - b.ordinal)
  const used = crews.flatMap(({ workers }) => workers.map(({ gpuUse }) => gpuUse?.gpuId))
  const isWhole = places.every(({ ordinal }, at) => ordinal === at)
  const isThere = (gpuId: number | undefined) =>
    gpuId === undefined ? places.length === 1 : gpuId < places.length
  return isWhole && used.every(isThere) ? places : undefined
}

/** Whether it is known which of them a worker is on. */
export function areNumbered(gpus: readonly GpuSeen[]): boolean {
  return gpus.every(({ ordinal }) => ordinal !== undefined)
}

function placeOf([ordinal, gpus]: readonly [number, readonly GpuSeen[]]): Place {
  const all = (pick: (gpu: GpuSeen) => number | undefined) => {
    const values = gpus.flatMap(gpu => pick(gpu) ?? [])
    return values.length === gpus.length ? values : undefined
  }
  const least = (values: number[] | undefined) => (values ? Math.min(...values) : undefined)
  const used = all(gpu => gpu.usedBytes)
  const active = all(gpu => gpu.activity)
  return {
    ordinal,
    ids: gpus.map(({ id }) => id),
    totalBytes: least(all(gpu => gpu.totalBytes)),
    usedBytes: used?.reduce((sum, bytes) => sum + bytes, 0),
    freeBytes: least(all(gpu => gpu.freeBytes)),
    activity: active ? Math.max(...active) : undefined,
    shared: gpus.some(({ sharing }) => sharing !== undefined && sharing !== 'none'),
    source: gpus[0]?.source ?? 'configuration',
    trouble: gpus.find(gpu => gpu.trouble !== undefined)?.trouble,
    atMs: Math.min(...gpus.map(({ atMs }) => atMs)),
  }
}

/** Workers of one pool on GPUs. */
export interface Crew {
  key: PoolKey
  batchSize: number
  workers: readonly Worker[]
  /** Requests since TorchServe started; absent where they cannot be seen. */
  requests: number | undefined
  /** When it was described: on GPUs up to 10 s ago. */
  atMs: number
}

/** The crews of all pools; undefined where some description is missing or old, so that nobody knows who is there. */
export function crewsOf({ pools }: Observation): readonly Crew[] | undefined {
  const crews: Crew[] = []
  for (const { counters, description, key } of pools) {
    if (description.state !== 'fresh') return undefined
    const workers = description.value.workers.filter(({ gpu }) => gpu)
    const requests = counters.state === 'fresh' ? counters.value.requests : undefined
    if (workers.length > 0) {
      const { atMs, value } = description
      crews.push({ key, batchSize: value.batchSize, workers, requests, atMs })
    }
  }
  return crews
}

/** Whether a worker is on a place. One that tells no gpuId is on the only one. */
export function isOn(worker: Worker, place: Place, places: readonly Place[]): boolean {
  return places.length === 1 || worker.gpuUse?.gpuId === place.ordinal
}
