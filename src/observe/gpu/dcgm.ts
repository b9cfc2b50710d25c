/** GPUs as a dcgm-exporter tells of them: only the rows of our own pod, for its page is of the whole node. */
import type { Dcgm } from '../../clients/dcgm.ts'
import type { Clock } from '../../clock.ts'
import { StokerError } from '../../errors.ts'
import type { GpuSeen } from '../../model.ts'
import { parseExposition, type Sample } from '../exposition.ts'
import type { Found, GpuFinder } from './source.ts'

export interface OwnPod {
  pod: string
  namespace: string
  /** TorchServe's. */
  container: string
}

const EVERY_MS = 5_000
/** What dcgm-exporter waits between two collections, unless told otherwise. */
const COLLECTED_EVERY_MS = 30_000
const VALID_MS = 2 * COLLECTED_EVERY_MS
/** Rises with each collection, on every GPU since Volta; among what dcgm-exporter shows by default. */
const RISES = 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION'

/** A finder that reads the page every 5 s. */
export function dcgmFinder(dcgm: Dcgm, own: OwnPod, clock: Clock): GpuFinder {
  let found: Found = { gpus: undefined, why: 'dcgm-exporter has not answered yet', faults: [] }
  let asking = false
  let askedMs = -Infinity
  let looks: ReadonlyMap<string, Look> = new Map()

  const ask = async () => {
    const samples = parseExposition(await dcgm.page()).filter(({ name }) => name.startsWith(PREFIX))
    const nowMs = clock.now()
    looks = lookAt(samples, looks, nowMs)
    const { gpus, faults } = gpusOfPod(samples, own, looks)
    const isOld = ({ atMs }: GpuSeen) => nowMs - atMs > VALID_MS
    const stale = gpus.filter(isOld).map(({ atMs, id }) => {
      const age = Math.round((nowMs - atMs) / 1_000)
      return new StokerError('DCGM_STALE', `${dcgm.url} has shown the same of ${id} for ${age} s`)
    })
    if (gpus.length === 0 && faults.length === 0) {
      const whose = `container ${own.container} of pod ${own.pod} in namespace ${own.namespace}`
      throw new StokerError('DCGM_NO_ROWS', `${dcgm.url} has no memory of a GPU of ${whose}`)
    }
    const [first] = stale
    // Without one of them it would not be known which places the others have.
    if (first) return { gpus: undefined, why: first.message, faults: [...faults, ...stale] }
    return { gpus, faults }
  }

  return {
    look() {
      if (!asking && clock.now() - askedMs >= EVERY_MS) {
        asking = true
        askedMs = clock.now()
        void ask()
          .then(
            said => (found = said),
            (error: unknown) => (found = failure(error)),
          )
          .finally(() => (asking = false))
      }
      return found
    },
    close: () => void dcgm.close(),
  }
}

function failure(error: unknown): Found {
  const fault =
    error instanceof StokerError ? error : new StokerError('DCGM_UNREADABLE', String(error))
  return { gpus: undefined, why: fault.message, faults: [fault] }
}

/** What was shown of a GPU at a look. */
interface Look {
  text: string
  /** It is no older than this. */
  atMs: number
  lookedMs: number
}

/**
 * The page tells no time, but something of each GPU changes with each collection, and nothing does between two: what has changed
 * was collected since it was looked at last. Of a GPU that nobody looked at lately it is taken for granted that it is collected.
 */
function lookAt(samples: readonly Sample[], before: ReadonlyMap<string, Look>, nowMs: number) {
  const groups = Map.groupBy(samples, uuidOf)
  const whole = textOf(samples)
  const looks = new Map<string, Look>()
  for (const [uuid, rows] of groups) {
    if (uuid === undefined) continue
    // Of a GPU that nobody uses everything else may stay as it is.
    const text = rows.some(({ name }) => name === RISES) ? textOf(rows) : whole
    const last = before.get(uuid)
    const changedMs = Math.max(last?.lookedMs ?? -Infinity, nowMs - COLLECTED_EVERY_MS)
    looks.set(uuid, {
      text,
      atMs: last?.text === text ? last.atMs : changedMs,
      lookedMs: nowMs,
    })
  }
  return looks
}

const textOf = (samples: readonly Sample[]) => samples.map(({ value }) => value).join(' ')
const uuidOf = (sample: Sample) => label(sample, 'UUID', 'gpu_uuid', 'uuid')

const PREFIX = 'DCGM_FI_'
const MIB = 1_048_576
/** DCGM writes these and larger ones where it has no value: blank, not found, not supported, not permitted. */
const LEAST_BLANK = 2 ** 31 - 16

/** The rows of one GPU, or of one GPU instance. */
interface Device {
  uuid: string
  gpuInstance: number | undefined
  /** It is a slice, and nobody tells of which GPU instance. */
  unnumbered: boolean
  index: number
  product: string | undefined
  profile: string | undefined
  own: Map<string, number>
  /** Rows of the device that name no pod: with virtual GPUs these are the whole device's. */
  whole: Map<string, number>
  strangers: boolean
}

/** The GPUs and slices that the page gives to the pod. */
function gpusOfPod(samples: readonly Sample[], pod: OwnPod, looks: ReadonlyMap<string, Look>) {
  const devices = new Map<string, Device>()
  for (const sample of samples) addTo(devices, sample, pod)
  const all = [...devices.values()]
  const own = all.filter(device => device.own.size > 0)
  const isSlice = (one: Device) => one.gpuInstance !== undefined || one.unnumbered
  const sliced = new Set(all.filter(isSlice).map(({ uuid }) => uuid))
  // A slice's parent has rows as well, which may name the pod where those of its slices do not: it is nobody's whole device.
  const ours = own.filter(one => isSlice(one) || !sliced.has(one.uuid))
  const parents = [...new Set(ours.toSorted((x, y) => x.index - y.index).map(({ uuid }) => uuid))]
  return {
    gpus: ours
      .filter(device => !device.unnumbered)
      .map(device =>
        seenOf(device, parents.indexOf(device.uuid), looks.get(device.uuid)?.atMs ?? -Infinity),
      ),
    faults: ours
      .filter(device => device.unnumbered)
      .map(({ uuid }) => new StokerError('GPU_MIG_UNNUMBERED', `dcgm-exporter, of ${uuid}`)),
  }
}

/** Labels have had several names, and Prometheus gives those that clash with its own a prefix. */
function label({ labels }: Sample, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = labels[`exported_${name}`] ?? labels[name]
    if (value !== undefined) return value
  }
  return undefined
}

function addTo(devices: Map<string, Device>, sample: Sample, own: OwnPod): void {
  const { name, value } = sample
  const uuid = uuidOf(sample)
  if (uuid === undefined || !(value >= 0 && value < LEAST_BLANK)) return
  const instance = label(sample, 'GPU_I_ID', 'gpu_i_id', 'gpu_instance_id')
  const profile = label(sample, 'GPU_I_PROFILE', 'gpu_i_profile')
  const gpuInstance = instance && /^\d+$/.test(instance) ? Number(instance) : undefined
  const unnumbered = Boolean(instance || profile) && gpuInstance === undefined
  const id = `${uuid}/${unnumbered ? `${instance} ${profile}` : (gpuInstance ?? '')}`
  const device = devices.get(id) ?? {
    uuid,
    gpuInstance,
    unnumbered,
    index: Number(label(sample, 'gpu') ?? 0),
    product: label(sample, 'modelName', 'model_name'),
    profile,
    own: new Map<string, number>(),
    whole: new Map<string, number>(),
    strangers: false,
  }
  devices.set(id, device)
  const named = label(sample, 'pod', 'pod_name')
  const namespace = label(sample, 'namespace', 'pod_namespace')
  const container = label(sample, 'container', 'container_name')
  if (!named) device.whole.set(name, value)
  else if (named !== own.pod || namespace !== own.namespace) device.strangers = true
  else if (container === own.container) device.own.set(name, value)
}

function seenOf(device: Device, ordinal: number, atMs: number): GpuSeen {
  const { gpuInstance, own, strangers, uuid, whole } = device
  const virtual = whole.has(`${PREFIX}DEV_FB_USED`) && own.size > 0
  const rows = virtual ? whole : own
  const [used, free] = [rows.get(`${PREFIX}DEV_FB_USED`), rows.get(`${PREFIX}DEV_FB_FREE`)]
  const parts = [used, free, rows.get(`${PREFIX}DEV_FB_RESERVED`)]
  const total = rows.get(`${PREFIX}DEV_FB_TOTAL`) ?? sumOf(parts)
  const active = rows.get(`${PREFIX}PROF_GR_ENGINE_ACTIVE`)
  // Of a slice it is unknown to the driver, and some versions say 0.
  const util = gpuInstance === undefined ? rows.get(`${PREFIX}DEV_GPU_UTIL`) : undefined
  const percent = util === undefined ? undefined : util / 100
  return {
    id: gpuInstance === undefined ? uuid : `${uuid}/${gpuInstance}`,
    ordinal,
    product: device.product,
    mig: gpuInstance === undefined ? undefined : { gpuInstance, profile: device.profile },
    totalBytes: bytes(total),
    usedBytes: bytes(used),
    freeBytes: bytes(free),
    activity: active !== undefined && active <= 1 ? active : percent,
    sharing: strangers || virtual ? 'time-slicing' : undefined,
    source: 'dcgm',
    atMs,
  }
}

/** Undefined where one is missing: without the reserved part it would be a smaller GPU than there is. */
function sumOf(parts: readonly (number | undefined)[]): number | undefined {
  const known = parts.filter(part => part !== undefined)
  return known.length < parts.length ? undefined : known.reduce((sum, part) => sum + part, 0)
}

const bytes = (mib: number | undefined) => (mib === undefined ? undefined : mib * MIB)
