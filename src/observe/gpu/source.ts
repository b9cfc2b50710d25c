import type { StokerError } from '../../errors.ts'
import type { GpuSeen } from '../../model.ts'

/** What one source knows of the GPUs now. */
export interface Found {
  /** Undefined: it cannot tell, or what it told is too old. The ordinals are in nvidia-smi's order. */
  gpus: readonly GpuSeen[] | undefined
  /** Why it cannot tell. */
  why?: string
  faults: readonly StokerError[]
}

/** A source that is asked in the background. */
export interface GpuFinder {
  /** What is known; starts to ask anew when that is due. Never blocks, never throws. */
  look(): Found
  close(): void
}
