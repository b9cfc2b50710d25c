import type { GpuSeen, HostSeen } from '../model.ts'
import type { Tick } from './tick.ts'

/** A GPU or slice as the page shows it; null: not known. */
export interface GpuNow {
  id: string
  product: string | null
  profile: string | null
  gpuInstance: number | null
  totalBytes: number | null
  usedBytes: number | null
  freeBytes: number | null
  activity: number | null
  sharing: string | null
  source: GpuSeen['source']
  ageMs: number
}

export interface GpusNow {
  gpus: readonly GpuNow[]
  /** Why nothing is known of them; null when something is. */
  why: string | null
  host: HostSeen | null
}

/** Null where no model runs on a GPU. */
export function gpusOf(tick: Tick | undefined): GpusNow | null {
  const { gpus, host } = tick?.seen ?? {}
  const used = tick?.decisions.some(({ inputs }) => inputs.gpu !== null)
  if (!tick || !gpus || (gpus.state !== 'fresh' && !used)) return null
  return {
    gpus: gpus.state === 'fresh' ? gpus.value.map(gpu => gpuOf(gpu, tick.seen.atMs)) : [],
    why: gpus.state === 'fresh' ? null : gpus.why,
    host: host?.state === 'fresh' ? host.value : null,
  }
}

function gpuOf(gpu: GpuSeen, nowMs: number): GpuNow {
  return {
    id: gpu.id,
    product: gpu.product ?? null,
    profile: gpu.mig?.profile ?? null,
    gpuInstance: gpu.mig?.gpuInstance ?? null,
    totalBytes: gpu.totalBytes ?? null,
    usedBytes: gpu.usedBytes ?? null,
    freeBytes: gpu.freeBytes ?? null,
    activity: gpu.activity ?? null,
    sharing: gpu.sharing ?? null,
    source: gpu.source,
    ageMs: Math.max(0, nowMs - gpu.atMs),
  }
}
