/** GPUs as nvidia-smi tells of them, asked in the background: a look returns at once with what is known. */
import type { NvidiaSmi, SmiAnswer } from '../../clients/nvidia-smi.ts'
import type { Clock } from '../../clock.ts'
import { StokerError } from '../../errors.ts'
import type { GpuSeen } from '../../model.ts'
import { readListing, type ListedSlice } from './listing.ts'
import type { Found, GpuFinder } from './source.ts'
import { bytesOf, countOf, isTrouble, shareOf } from './values.ts'
import type { SmiGpu, SmiSlice } from './xml.ts'

const EVERY_MS = 5_000
/** Of the time, the part in which nvidia-smi may run: it is not light, and without persistence mode it is slow. */
const DUTY = 0.2
/** What is older says nothing of what is free now, however slow nvidia-smi is. */
const VALID_MS = 30_000
const LISTING_BYTES = 65_536

/** A finder that runs nvidia-smi every 5 s, and more seldom where it is slow. */
export function smiFinder(smi: NvidiaSmi, clock: Clock): GpuFinder {
  let found: Found = { gpus: undefined, why: 'nvidia-smi has not answered yet', faults: [] }
  let asking = false
  let notBeforeMs = 0
  let validMs = 0
  let listed: Listed | undefined
  let readings = 0

  const ask = async (): Promise<Found> => {
    const before = listed ?? (await list(smi))
    if ('why' in before) return before
    // Loaded only where there is an nvidia-smi to read: it takes 5 MiB.
    const { SmiLog } = await import('./xml.ts')
    const log = new SmiLog()
    const answer = await smi.ask(['-q', '-x'], text => log.write(text))
    if (answer.kind !== 'read') return unread(answer)
    const { startedMs, tookMs, warning } = answer
    const pauseMs = Math.max(EVERY_MS, tookMs / DUTY)
    notBeforeMs = startedMs + pauseMs
    validMs = Math.min(3 * pauseMs + tookMs, VALID_MS)
    const gpus = log.gpus()
    if (gpus === undefined) {
      return failure(
        new StokerError('NVIDIA_SMI_UNREADABLE', 'nvidia-smi -q -x wrote no whole log'),
      )
    }
    // MIG can be partitioned anew while the pod runs.
    const shape = shapeOf(gpus)
    const now = before.shape === undefined || before.shape === shape ? before : await list(smi)
    if ('why' in now) return now
    listed = { ...now, shape }
    readings++
    const context = { atMs: startedMs, first: readings === 1, slices: listed.slices }
    return {
      gpus: gpus.flatMap((gpu, ordinal) => seenOf(gpu, ordinal, context)),
      faults: [...(warning ? [warning] : []), ...gpus.flatMap(faultsOf)],
    }
  }

  return {
    look() {
      if (!asking && clock.now() >= notBeforeMs && smi.idle()) {
        asking = true
        void ask()
          .catch((error: unknown) => failure(new StokerError('NVIDIA_SMI_FAILED', String(error))))
          .then(said => (found = said))
          .finally(() => (asking = false))
      }
      const oldest = Math.min(...(found.gpus ?? []).map(({ atMs }) => atMs))
      if (clock.now() - oldest <= validMs || !found.gpus?.length) return found
      const age = Math.round((clock.now() - oldest) / 1_000)
      return { ...found, gpus: undefined, why: `nvidia-smi last answered ${age} s ago` }
    },
    close: () => smi.close(),
  }
}

interface Listed {
  slices: readonly ListedSlice[]
  /** The instances these are the profiles of; undefined until they were seen. */
  shape: string | undefined
}

type Unread = Found & { why: string }

/** Cheap, so it also finds out first whether there is anything to read. */
async function list(smi: NvidiaSmi): Promise<Listed | Unread> {
  let text = ''
  const answer = await smi.ask(['-L'], piece => {
    if (text.length < LISTING_BYTES) text += piece
  })
  return answer.kind === 'read' ? { slices: readListing(text), shape: undefined } : unread(answer)
}

function unread(answer: Exclude<SmiAnswer, { kind: 'read' }>): Unread {
  return answer.kind === 'absent'
    ? { gpus: undefined, why: answer.why, faults: [] }
    : failure(answer.fault)
}

function failure(fault: StokerError): Unread {
  return { gpus: undefined, why: fault.message, faults: [fault] }
}

/** Which instances there are, in a text to compare. */
function shapeOf(gpus: readonly SmiGpu[]): string {
  return gpus
    .map(({ fields, slices }) => {
      const devices = slices.map(s => `${s.index}/${s.gpuInstance}/${s.computeInstance}`)
      return `${fields.uuid} ${devices.join(' ')}`
    })
    .join('\n')
}

interface Context {
  atMs: number
  /** The first reading of this agent. */
  first: boolean
  slices: readonly ListedSlice[]
}

/** A whole GPU, or its slices: what the parent of slices says of its memory is their sum, and not added to them. */
function seenOf(gpu: SmiGpu, ordinal: number, context: Context): GpuSeen[] {
  const { fields } = gpu
  const sliced = gpu.slices.length > 0
  if (fields.mig === 'Enabled' && !sliced) return []
  const whole: GpuSeen = {
    id: fields.uuid ?? `gpu${ordinal}`,
    ordinal,
    product: fields.product,
    mig: undefined,
    ...memoryOf(fields, fields.addressing),
    activity: sliced ? undefined : activityOf(gpu, context.first),
    sharing: gpu.mps ? 'mps' : undefined,
    source: 'nvidia_smi',
    trouble: troubleOf(gpu)?.message,
    atMs: context.atMs,
  }
  if (!sliced) return [whole]
  const instances = new Map<number, SmiSlice>()
  for (const slice of gpu.slices) {
    const gpuInstance = countOf(slice.gpuInstance)
    // Compute instances of one GPU instance all show its memory.
    if (gpuInstance !== undefined && !instances.has(gpuInstance)) instances.set(gpuInstance, slice)
  }
  return [...instances].map(([gpuInstance, slice]) => ({
    ...whole,
    id: `${whole.id}/${gpuInstance}`,
    mig: { gpuInstance, profile: profileOf(slice, fields.uuid, context.slices) },
    ...memoryOf(slice, fields.addressing),
  }))
}

/** The index in the listing counts the slices of one GPU, as the one in the log does. */
function profileOf(slice: SmiSlice, parent: string | undefined, listed: readonly ListedSlice[]) {
  return listed.find(one => one.parent === parent && one.index === countOf(slice.index))?.profile
}

type MemoryFields = Pick<SmiSlice, 'total' | 'used' | 'free'>

function memoryOf({ total, used, free }: MemoryFields, addressing: string | undefined) {
  // There the memory is the operating system's, which gives and takes it by itself: free says nothing.
  const managed = addressing === 'ATS'
  return {
    totalBytes: managed ? undefined : bytesOf(total),
    usedBytes: managed ? undefined : bytesOf(used),
    freeBytes: managed ? undefined : bytesOf(free),
  }
}

/**
 * Without persistence mode nvidia-smi wakes the driver up, and the scrubbing of memory that follows looks like load: a first
 * reading is not believed, nor one of a GPU that nobody uses.
 */
function activityOf({ fields, processes }: SmiGpu, first: boolean): number | undefined {
  const unused = processes === 0 && bytesOf(fields.used) === 0
  return fields.persistence === 'Disabled' && (first || unused)
    ? undefined
    : shareOf(fields.activity)
}

const nameOf = ({ fields }: SmiGpu) => fields.uuid ?? fields.product ?? 'a GPU'

/** The driver answers one of its questions with an error. */
function troubleOf(gpu: SmiGpu): StokerError | undefined {
  const { fields, slices } = gpu
  const sick = [fields, ...slices].some(({ total, used, free }) =>
    [total, used, free].some(isTrouble),
  )
  if (!sick && !isTrouble(fields.activity)) return undefined
  return new StokerError('GPU_UNHEALTHY', `nvidia-smi says of ${nameOf(gpu)}: Unknown Error`)
}

function faultsOf(gpu: SmiGpu): StokerError[] {
  const { fields, slices } = gpu
  const trouble = troubleOf(gpu)
  if (trouble) return [trouble]
  if (slices.some(slice => countOf(slice.gpuInstance) === undefined)) {
    return [new StokerError('GPU_MIG_UNNUMBERED', `nvidia-smi, of ${nameOf(gpu)}`)]
  }
  if (fields.mig !== 'Enabled' || slices.length > 0) return []
  return [new StokerError('GPU_MIG_EMPTY', `${nameOf(gpu)} is in MIG mode without instances`)]
}
