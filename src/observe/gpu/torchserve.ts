/** GPUs as TorchServe's descriptions tell of them: no total, and nothing on MIG. */
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

const unknown = {
  product: undefined,
  mig: undefined,
  totalBytes: undefined,
  freeBytes: undefined,
  sharing: undefined,
  source: 'torchserve',
} as const
