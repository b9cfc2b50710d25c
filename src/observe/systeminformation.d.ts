/** A part of systeminformation that can be loaded alone; its types are only for the whole. */
declare module 'systeminformation/lib/memory.js' {
  import type { Systeminformation } from 'systeminformation'
  /** Bytes; of the whole machine. */
  export function mem(): Promise<Systeminformation.MemData>
}
