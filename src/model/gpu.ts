/** The nouns of GPUs, and of the machine around them. */

/** What a describe reply says of a worker's GPU: the numbers are of the whole GPU, not of the worker. */
export interface GpuUse {
  gpuId: number
  usedBytes: number | undefined
  /** From 0 to 1. */
  activity: number | undefined
}

/** Who tells of a GPU. `configuration`: nobody does, and only the settings are known. */
export type GpuSource = 'configuration' | 'dcgm' | 'nvidia_smi' | 'torchserve'

/** Who uses a GPU beside this pod; the first three are the values of the node label `nvidia.com/gpu.sharing-strategy`. */
type GpuSharing = 'none' | 'time-slicing' | 'mps' | 'strangers'

/** One GPU of TorchServe's container, or one MIG slice of it: a GPU instance, whose compute instances share its memory. */
export interface GpuSeen {
  /** The same as long as it exists: `GPU-…`; `GPU-…/9` for GPU instance 9; `gpu0` where only TorchServe tells. */
  id: string
  /** CUDA's number for the GPU, or for the slice's parent: what TorchServe calls gpuId. Undefined: not known. */
  ordinal: number | undefined
  product: string | undefined
  mig: { gpuInstance: number; profile: string | undefined } | undefined
  totalBytes: number | undefined
  usedBytes: number | undefined
  /** What can still be had; less than total - used, as the driver keeps some for itself. */
  freeBytes: number | undefined
  /** The share of time with work on it, from 0 to 1; never known of a slice by nvidia-smi. It is not the share in use. */
  activity: number | undefined
  /** Absent: nobody tells. */
  sharing: GpuSharing | undefined
  source: GpuSource
  /** What is wrong with the GPU, so that no worker should start on it; absent where nobody says that something is. */
  trouble?: string | undefined
  /** The numbers are no older than this. */
  atMs: number
}

/** The machine, whoever uses it. */
export interface HostSeen {
  /** Busy part of all CPUs since the reading before, from 0 to 1. */
  cpuBusy: number
  memoryTotalBytes: number
  memoryAvailableBytes: number
}

/** What the gate for GPU memory went by. */
export interface GpuInputs {
  /** The GPUs the next worker may land on, by their ids. */
  landing: readonly string[]
  /** Free on the fullest of these, less what workers there are still expected to take. */
  freeBytes: number | null
  /** What a worker of this pool needs; `guessed` while it is only bounded by what is used. */
  workerBytes: number | null
  guessed: boolean
  /** Workers that still fit; null where the memory is not known. */
  fits: number | null
  activity: number | null
  /** Busy part of the machine's CPUs, from 0 to 1. */
  cpuBusy: number | null
  source: GpuSource | null
}
