/** What TorchServe writes of a worker's GPU in `gpuUsage`: text that it had from nvidia-smi. */
import type { GpuUse } from '../../model.ts'
import { bytesOf, shareOf } from './values.ts'

/** Versions before and after 0.12 write `utilization.gpu [%]::` and `utilization.gpu::`. */
const gpuId = /gpuId::(\d{1,3})\b/
const activity = /utilization\.gpu(?: \[%\])?::\s*(\S+ %)/
const used = /memory\.used(?: \[MiB\])?::\s*(.+ MiB)/
/** Later versions group thousands as the server's locale does: `11,125`, `11.125`, `11 125`. */
const grouping = /(?<=\d)[,.'’\s\u00a0\u202f](?=\d{3}\b)/g

/** Undefined on the CPU, and where TorchServe could not run nvidia-smi. On MIG only the id is known. */
export function readGpuUsage(text: string): GpuUse | undefined {
  const id = gpuId.exec(text)?.[1]
  if (id === undefined) return undefined
  return {
    gpuId: Number(id),
    usedBytes: bytesOf(used.exec(text)?.[1]?.replace(grouping, '')),
    activity: shareOf(activity.exec(text)?.[1]),
  }
}
