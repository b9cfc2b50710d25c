/** Which GPUs are TorchServe's and what it calls them, by the environment that it was started in. */
import type { GpuSeen } from '../../model.ts'

/** What is looked for in TorchServe's environment. */
export const gpuVariables = [
  'CUDA_VISIBLE_DEVICES',
  'CUDA_DEVICE_ORDER',
  'NVIDIA_VISIBLE_DEVICES',
  'KUBERNETES_SERVICE_HOST',
] as const

export type GpuEnvironment = Readonly<Partial<Record<(typeof gpuVariables)[number], string>>>

/**
 * Of all that nvidia-smi shows, the GPUs that TorchServe can see; undefined: not known. On a machine of its own it sees all of them,
 * and in a container those that it was given. There only UUIDs tell which: `all` may come from the image and mean nothing.
 */
export function givenTo(
  gpus: readonly GpuSeen[],
  environment: GpuEnvironment | undefined,
): readonly GpuSeen[] | undefined {
  if (gpus.length <= 1) return gpus
  if (!environment) return undefined
  const { KUBERNETES_SERVICE_HOST: inPod, NVIDIA_VISIBLE_DEVICES: given } = environment
  const names = (given ?? '').split(',').map(name => name.trim())
  if (names.every(name => name.startsWith('GPU-'))) {
    return gpus.filter(({ id }) => names.some(name => isOf(id, name)))
  }
  return inPod === undefined && (given === undefined || given === 'all') ? gpus : undefined
}

/**
 * The GPUs that CUDA shows TorchServe, with CUDA's number for each as the ordinal, which comes as nvidia-smi's; undefined where it
 * is not known. By itself CUDA puts the fastest first, so that is nvidia-smi's order only among equals.
 */
export function asNumbered(
  gpus: readonly GpuSeen[],
  environment: GpuEnvironment = {},
): readonly GpuSeen[] {
  const cards = Map.groupBy(gpus, ({ ordinal }) => ordinal)
    .values()
    .toArray()
    .toSorted((a, b) => (a[0]?.ordinal ?? 0) - (b[0]?.ordinal ?? 0))
  const inOrder = cards.flatMap(withOrdinal)
  if (cards.length <= 1) return inOrder
  const { CUDA_DEVICE_ORDER: order, CUDA_VISIBLE_DEVICES: visible } = environment
  const isByBus = order === 'PCI_BUS_ID' || areAlike(cards)
  const unknown = inOrder.map(gpu => ({ ...gpu, ordinal: undefined }))
  if (!visible) return isByBus ? inOrder : unknown
  const shown: GpuSeen[][] = []
  for (const name of visible.split(',').map(text => text.trim())) {
    const isNumber = /^\d+$/.test(name)
    // The UUID of a slice does not say which card it is on.
    if (name.startsWith('MIG-') || (isNumber && !isByBus)) return unknown
    const card = isNumber
      ? cards[Number(name)]
      : cards.find(([gpu]) => name.startsWith('GPU-') && gpu && isOf(gpu.id, name))
    // CUDA reads no further than to the first that is not there.
    if (!card) break
    shown.push(card)
  }
  return shown.flatMap(withOrdinal)
}

function withOrdinal(card: readonly GpuSeen[], ordinal: number): GpuSeen[] {
  return card.map(gpu => ({ ...gpu, ordinal }))
}

/** TorchServe asks nvidia-smi about a GPU by CUDA's number for it, and is told of another one where they differ. */
export function asksByOwnNumber({ CUDA_VISIBLE_DEVICES: visible }: GpuEnvironment = {}): boolean {
  return !visible || visible.split(',').every((name, at) => name.trim() === String(at))
}

/** Whether no card is faster than another, as far as can be seen: by their names, or else by their memory. */
function areAlike(cards: readonly GpuSeen[][]): boolean {
  const first = cards.map(([gpu]) => gpu)
  const names = new Set(first.map(gpu => gpu?.product))
  if (!names.has(undefined)) return names.size === 1
  return new Set(first.map(gpu => gpu?.totalBytes)).size === 1
}

/** Whether an id, which is a GPU's UUID or begins with it, is meant by a UUID or by the beginning of one. */
const isOf = (id: string, name: string) => id.startsWith(name)
