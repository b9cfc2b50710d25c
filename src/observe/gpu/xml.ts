/** Reads what `nvidia-smi -q -x` writes, piece by piece. */
import sax from 'sax'
import { NameFilter } from './names.ts'

/** A `<gpu>` of a log: the texts of the fields that are used, as they stand there. */
export interface SmiGpu {
  fields: Readonly<Partial<Record<GpuField, string>>>
  slices: readonly SmiSlice[]
  processes: number
  /** One of its processes is a client of MPS. */
  mps: boolean
}

/** A `<mig_device>`: a compute instance. The memory is that of its GPU instance. */
export type SmiSlice = Readonly<Partial<Record<SliceField, string>>>

type GpuField = (typeof gpuFields)[keyof typeof gpuFields]
type SliceField = (typeof sliceFields)[keyof typeof sliceFields]

/** Paths below `<gpu>`; all schemas from v10 to v13 have them alike. */
const gpuFields = {
  uuid: 'uuid',
  product_name: 'product',
  persistence_mode: 'persistence',
  addressing_mode: 'addressing',
  'mig_mode/current_mig': 'mig',
  'fb_memory_usage/total': 'total',
  'fb_memory_usage/used': 'used',
  'fb_memory_usage/free': 'free',
  'utilization/gpu_util': 'activity',
} as const

const sliceFields = {
  index: 'index',
  gpu_instance_id: 'gpuInstance',
  compute_instance_id: 'computeInstance',
  'fb_memory_usage/total': 'total',
  'fb_memory_usage/used': 'used',
  'fb_memory_usage/free': 'free',
} as const

const LOG = '/nvidia_smi_log'
const GPU = `${LOG}/gpu`
const SLICE = `${GPU}/mig_devices/mig_device`
const PROCESS = `${GPU}/processes/process_info`

/** More is no machine there is. */
const MOST_GPUS = 256
const MOST_SLICES = 64
/** All schemas stay below ten. The parser's work for a tag that closes nothing grows with the depth. */
const MOST_DEPTH = 32
/** No field that is read has more characters. */
const LONGEST = 200

interface Draft {
  fields: Partial<Record<GpuField, string>>
  slices: Partial<Record<SliceField, string>>[]
  processes: number
  mps: boolean
}

/**
 * A reader for one run. Process names are raw bytes and may hold anything, so they are left out, and nothing is validated: tags
 * that do not match are closed with those around them. No DTD is ever fetched, and no entity of one is known.
 */
export class SmiLog {
  readonly #parser = sax.parser(false, { lowercase: true })
  readonly #names = new NameFilter()
  #path = ''
  #depth = 0
  #tooDeep = false
  #text = ''
  #drafts: Draft[] = []
  #complete: readonly SmiGpu[] | undefined

  constructor() {
    Object.assign(this.#parser, {
      onopentag: ({ name }: sax.Tag) => this.#open(name),
      onclosetag: (name: string) => this.#close(name),
      ontext: (text: string) => (this.#text = `${this.#text}${text}`.slice(0, LONGEST + 1)),
      onerror: () => this.#parser.resume(),
    })
    // One element around everything: after the end of the first the parser would not read on.
    this.#parser.write('<output>')
  }

  write(text: string): void {
    const read = this.#names.pass(text)
    if (!this.#tooDeep && read !== '') this.#parser.write(read)
  }

  /** The GPUs of the last log that was complete, in nvidia-smi's order; undefined when none was, or when it is no such log. */
  gpus(): readonly SmiGpu[] | undefined {
    return this.#tooDeep ? undefined : this.#complete
  }

  #open(name: string): void {
    this.#depth++
    this.#tooDeep ||= this.#depth > MOST_DEPTH
    if (this.#tooDeep) return
    // A log inside another one is one that began after the other was cut.
    this.#path = name === 'nvidia_smi_log' ? LOG : `${this.#path}/${name}`
    this.#text = ''
    if (this.#path === LOG) this.#drafts = []
    else if (this.#path === GPU && this.#drafts.length < MOST_GPUS) {
      this.#drafts.push({ fields: {}, slices: [], processes: 0, mps: false })
    } else if (this.#path === SLICE) {
      const slices = this.#drafts.at(-1)?.slices
      if (slices && slices.length < MOST_SLICES) slices.push({})
    }
  }

  #close(name: string): void {
    this.#depth--
    if (this.#tooDeep) return
    const path = this.#path
    if (!path.endsWith(`/${name}`)) return
    this.#path = path.slice(0, -name.length - 1)
    const text = this.#text.trim()
    this.#text = ''
    const draft = this.#drafts.at(-1)
    if (path === LOG) this.#complete = areDistinct(this.#drafts) ? this.#drafts : undefined
    else if (!draft) return
    else if (path.startsWith(`${SLICE}/`)) keep(draft.slices.at(-1), sliceFields, path, SLICE, text)
    else if (path === PROCESS) draft.processes++
    else if (path === `${PROCESS}/type`) draft.mps ||= text === 'M+C'
    else keep(draft.fields, gpuFields, path, GPU, text)
  }
}

function keep<Name extends string>(
  into: Partial<Record<Name, string>> | undefined,
  names: Readonly<Record<string, Name>>,
  path: string,
  above: string,
  text: string,
): void {
  const name = names[path.slice(above.length + 1)]
  if (into && name !== undefined && text.length <= LONGEST) into[name] = text
}

/** A log that was cut within the name of a process shows GPUs again that the one after it shows. */
function areDistinct(gpus: readonly Draft[]): boolean {
  const uuids = gpus.flatMap(({ fields }) => fields.uuid ?? [])
  return new Set(uuids).size === uuids.length
}
