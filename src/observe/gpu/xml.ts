/** Reads what `nvidia-smi -q -x` writes, piece by piece. */
import sax from 'sax'

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

interface Draft {
  fields: Partial<Record<GpuField, string>>
  slices: Partial<Record<SliceField, string>>[]
  processes: number
  mps: boolean
}

/**
 * A reader for one run. Process names are raw bytes and may hold anything, so nothing is validated: tags that do not match are
 * closed with those around them. No DTD is ever fetched, and no entity of one is known.
 */
export class SmiLog {
  readonly #parser = sax.parser(false, { lowercase: true })
  #path = ''
  #text = ''
  #drafts: Draft[] = []
  #complete: readonly SmiGpu[] | undefined

  constructor() {
    Object.assign(this.#parser, {
      onopentag: ({ name }: sax.Tag) => this.#open(name),
      onclosetag: (name: string) => this.#close(name),
      ontext: (text: string) => (this.#text = text),
      onerror: () => this.#parser.resume(),
    })
    // One element around everything: after the end of the first the parser would not read on.
    this.#parser.write('<output>')
  }

  write(text: string): void {
    this.#parser.write(text)
  }

  /** The GPUs of the last log that was complete, in nvidia-smi's order; undefined when none was. */
  gpus(): readonly SmiGpu[] | undefined {
    return this.#complete
  }

  #open(name: string): void {
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
    const path = this.#path
    if (!path.endsWith(`/${name}`)) return
    this.#path = path.slice(0, -name.length - 1)
    const text = this.#text.trim()
    this.#text = ''
    const draft = this.#drafts.at(-1)
    if (path === LOG) this.#complete = this.#drafts
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
  if (into && name !== undefined) into[name] = text
}
