/** GPUs and the machine around them, as a tick has them. */

const AT_MS = Date.UTC(2026, 2, 4, 10)
export const GIB = 1_073_741_824
const unknown = { totalBytes: undefined, usedBytes: undefined, freeBytes: undefined }
const slice = {
  id: 'GPU-513536b6-7d19-9063-b049-1e69664bb298/9',
  ordinal: 0,
  product: 'NVIDIA H100',
  mig: { gpuInstance: 9, profile: '1g.10gb' },
  totalBytes: 9.75 * GIB,
  usedBytes: 7.3125 * GIB,
  freeBytes: 2.4375 * GIB,
  activity: undefined,
  sharing: undefined,
  source: 'nvidia_smi',
  atMs: AT_MS,
} as const
const other = {
  ...slice,
  id: 'GPU-5/3',
  mig: undefined,
  ...unknown,
  sharing: 'time-slicing',
} as const
/** One slice of which all is known that can be, and a GPU of which hardly anything is. */
export const slices = { state: 'fresh', value: [slice, other], atMs: AT_MS } as const
export const machine = {
  state: 'fresh',
  value: { cpuBusy: 0.5, memoryTotalBytes: 24 * GIB, memoryAvailableBytes: 12 * GIB },
  atMs: AT_MS,
} as const
