/** GPUs as TorchServe's descriptions tell of them: no total, and nothing on MIG. */
import { StokerError } from '../../errors.ts'
import type { GpuSeen, PoolSeen } from '../../model.ts'
import type { Found } from './source.ts'

/** TorchServe is asked about models on GPUs every 10 s. */
const VALID_MS = 30_000

export function gpusOfTorchServe(pools: readonly PoolSeen[], nowMs: number): Found {
  const latest = new Map<number, GpuSeen>()
  for (const { description } of pools) {
    if (description.state === 'absent' || nowMs - description.atMs > VALID_MS) continue
    const { atMs, value } = description
    for (const { gpuUse } of value.workers) {
      if (!gpuUse || (latest.get(gpuUse.gpuId)?.atMs ?? -Infinity) > atMs) continue
      const { activity, gpuId: ordinal, usedBytes } = gpuUse
      latest.set(ordinal, { ...unknown, id: `gpu${ordinal}`, ordinal, usedBytes, activity, atMs })
    }
  }
  if (latest.size > 0) return { gpus: [...latest.values()], faults: [] }
  return { gpus: undefined, why: 'TorchServe tells nothing of its GPU', faults: [] }
}

/**
 * Watches for TorchServe to lose its GPUs, as it may with any change of its container's resources: it runs nvidia-smi for what it
 * tells of a worker's GPU, and that then fails for all of them. Returns a fault while that is so.
 */
export function accessWatch(): (pools: readonly PoolSeen[]) => StokerError | undefined {
  let toldMs: number | undefined
  return pools => {
    const workers = pools.flatMap(({ description }) => {
      if (description.state !== 'fresh') return []
      const { atMs, value } = description
      return value.workers.flatMap(({ gpu, gpuUse }) => (gpu ? [{ atMs, gpuUse }] : []))
    })
    const latestMs = Math.max(...workers.map(({ atMs }) => atMs))
    if (workers.some(({ gpuUse }) => gpuUse)) toldMs = latestMs
    if (workers.length === 0 || toldMs === undefined || toldMs === latestMs) return undefined
    const age = Math.round((latestMs - toldMs) / 1_000)
    return new StokerError('GPU_ACCESS_LOST', `TorchServe told of its GPU and has not for ${age} s`)
  }
}

const unknown = {
  product: undefined,
  mig: undefined,
  totalBytes: undefined,
  freeBytes: undefined,
  sharing: undefined,
  source: 'torchserve',
} as const
