import type { Worker } from '../../model.ts'
import type { Crew } from './places.ts'

/**
 * TorchServe's round robin over its GPUs, followed from outside: each new worker of any model goes to the GPU after the last
 * one's, and a worker that goes does not turn it back. Models with `deviceIds` have their own, which shows as a wrong forecast.
 */
export interface RoundRobin {
  /** The highest worker id seen; ids rise with each worker that is started. */
  highestId: number | undefined
  /** The gpuId of the worker that was last seen to appear; undefined before. */
  lastGpuId: number | undefined
  /** A worker landed elsewhere than foretold. */
  disproved: boolean
}

export const unknownRoundRobin: RoundRobin = {
  highestId: undefined,
  lastGpuId: undefined,
  disproved: false,
}

export function follow(before: RoundRobin, crews: readonly Crew[], gpus: number): RoundRobin {
  const workers = crews.flatMap(crew => crew.workers).toSorted((a, b) => idOf(a) - idOf(b))
  const highest = workers.at(-1)
  if (!highest) return before
  if (before.highestId === undefined) return { ...before, highestId: idOf(highest) }
  let { disproved, highestId, lastGpuId } = before
  for (const worker of workers) {
    if (idOf(worker) <= highestId) continue
    // It is numbered as soon as it is started, and its GPU is told then too.
    const gpuId = worker.gpuUse?.gpuId
    if (gpuId === undefined) return { ...before, highestId: idOf(worker), lastGpuId: undefined }
    disproved ||= lastGpuId !== undefined && gpuId !== (lastGpuId + 1) % gpus
    highestId = idOf(worker)
    lastGpuId = gpuId
  }
  return { disproved, highestId, lastGpuId }
}

/** The gpuIds of the next `count` workers, in turn; undefined where they cannot be foretold. */
export function foretell(round: RoundRobin, count: number, gpus: number): number[] | undefined {
  if (gpus === 1) return Array.from({ length: count }, () => 0)
  const { disproved, lastGpuId } = round
  if (disproved || lastGpuId === undefined) return undefined
  return Array.from({ length: count }, (_, index) => (lastGpuId + 1 + index) % gpus)
}

const idOf = ({ id }: Worker) => Number(id)
