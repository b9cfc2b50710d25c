/** The GPU under the demo's models: its memory is what their workers take, and a fake nvidia-smi tells of it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { installSmi, type Card } from './nvidia-smi.ts'
import type { TorchServeCore } from './torchserve/core.ts'

/** A whole A100 of 80 GB; or slices of one, of which TorchServe uses the first. */
export type GpuKind = 'a100' | 'mig'

const MIB = 1_048_576
const EVERY_MS = 500
const a100 = { uuid: 'GPU-513536b6-7d19-9063-b049-1e69664bb298', product: 'NVIDIA A100-SXM4-80GB' }

/** Activity is the share of the latest looks that found work. */
const LOOKS = 10
/** Resident on a device that nobody uses. */
const IDLE_MIB = 12

function cardOf(kind: GpuKind, usedMib: number, activity: string): Card {
  if (kind === 'a100') {
    return { ...a100, totalMib: 81_920, reservedMib: 869, usedMib, activity, mig: 'Disabled' }
  }
  const slice = (gpuInstance: number, profile: string, totalMib: number, used = IDLE_MIB) => ({
    uuid: `MIG-513536b6-7d19-5063-b049-1e69664bb2${gpuInstance}0`,
    profile,
    gpuInstance,
    computeInstance: 0,
    totalMib,
    usedMib: used,
  })
  const slices = [
    slice(9, '1g.10gb', 9_856, usedMib),
    slice(10, '1g.10gb', 9_856),
    slice(5, '2g.20gb', 19_968),
  ]
  return { ...a100, totalMib: 81_920, reservedMib: 869, usedMib, mig: 'Enabled', slices }
}

/** The GPU, and the folder with its nvidia-smi. */
export function startGpu(
  {
    core,
    kind,
    model,
  }: {
    core: TorchServeCore
    kind: GpuKind
    model: { name: string; bytes: number; device: string }
  },
  clock: Clock,
): { folder: string; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-demo-'))
  const smi = installSmi(folder)
  const stop = new AbortController()
  let busy: boolean[] = []
  const show = () => {
    busy = [core.deviceOf(model.device).busy > 0, ...busy].slice(0, LOOKS)
    const active = busy.filter(Boolean).length / busy.length
    const workers = core.workersReady(model.name)
    const usedMib = IDLE_MIB + Math.round((workers * model.bytes) / MIB)
    smi.show([cardOf(kind, usedMib, `${Math.round(100 * active)} %`)])
  }
  const follow = async () => {
    while (!stop.signal.aborted) {
      show()
      await clock.sleep(EVERY_MS, stop.signal)
    }
  }
  show()
  void follow()
  return {
    folder,
    close() {
      stop.abort()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
