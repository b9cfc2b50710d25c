import type { GpuInputs } from '../../model.ts'
import { change, hold, type Ruling } from '../ruling.ts'
import type { View } from '../view.ts'
import { count, percent } from '../words.ts'
import { GPU_IDLE } from './activity.ts'
import { gib, LEAST_BYTES, SPARE } from './room.ts'

/** With the CPUs this busy and an idle GPU, more workers would only wait for the CPUs. */
const CPU_FULL = 0.9

/**
 * Lets a growth pass as far as the GPU has room for it. Where the room is not known, no worker is started beyond the minimum,
 * nor beyond the first one, which somebody has asked for; and not even that where there is no room for a CUDA context.
 */
export function withinGpu(view: View, ruling: Ruling): Ruling {
  const { gpu, listed, policy } = view
  const { action, because, reason } = ruling
  // A repair starts no more workers than there were.
  if (!gpu || action?.kind !== 'grow') return ruling
  const starting = action.to - listed
  if (gpu.trouble !== undefined) {
    return hold(view, 'gpu_unhealthy', `${because} Not done: ${ended(gpu.trouble)}`)
  }
  const wanted = reason === 'demand' || reason === 'backlog'
  if (wanted && isCpuBound(gpu.inputs)) {
    const { cpuBusy, activity } = gpu.inputs
    const why = `the machine’s CPUs are ${percent(cpuBusy ?? 0)} busy and the GPU is ${percent(activity ?? 0)} busy: more workers would wait for the CPUs`
    return hold(view, 'cpu_full', `${because} Not done: ${why}.`)
  }
  if (gpu.fits === undefined) {
    const { mostBytes = Infinity } = gpu
    if (mostBytes < LEAST_BYTES) {
      const room = `${gib(Math.max(0, mostBytes))} of GPU memory can be given out at the most`
      const why = `${room}, and a worker’s CUDA context alone takes up to ${gib(LEAST_BYTES)}`
      return hold(view, 'gpu_full', `${because} Not done: ${why}.`)
    }
    const asked = action.to <= Math.max(1, policy.minWorkers)
    if (asked || policy.gpuMemoryUnknown === 'grow') return ruling
    return hold(view, 'gpu_unknown', `${because} Not done: ${ended(gpu.why)}`)
  }
  if (gpu.fits >= starting) return ruling
  const { freeBytes, guessed, workerBytes } = gpu.inputs
  const need = workerBytes ?? 0
  const takes = `${guessed ? 'up to ' : ''}${gib(need)} (${gib(need * SPARE)} with some to spare)`
  const room = `${gib(Math.max(0, freeBytes ?? 0))} of GPU memory can be given out, and a worker takes ${takes}`
  if (gpu.fits === 0) return hold(view, 'gpu_full', `${because} Not done: ${room}.`)
  const to = action.to - starting + gpu.fits
  const less = `${because} Only ${count(gpu.fits)} more for now: ${room}.`
  return change(view, action.kind, to, reason, less, view.memory)
}

function isCpuBound({ activity, cpuBusy }: Pick<GpuInputs, 'activity' | 'cpuBusy'>): boolean {
  return cpuBusy !== null && activity !== null && cpuBusy > CPU_FULL && activity < GPU_IDLE
}

/** As the end of a sentence; what sources say of themselves may be one or more already. */
const ended = (text: string) => (text.endsWith('.') ? text : `${text}.`)
