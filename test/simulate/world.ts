import { virtualClock, type VirtualClock } from '../../src/simulate/clock.ts'
import { TorchServeCore } from '../../src/simulate/torchserve/core.ts'
import type { Answer } from '../../src/simulate/torchserve/job.ts'
import type { ModelOptions, TorchServeOptions } from '../../src/simulate/torchserve/options.ts'

/** A core with one model `m` on a virtual clock, its first workers ready; more of what a test looks at. */
export async function world(
  model: Partial<ModelOptions> = {},
  options: Partial<TorchServeOptions> = {},
): Promise<World> {
  const clock = virtualClock()
  const core = new TorchServeCore({ models: [{ name: 'm', ...model }], ...options }, clock)
  await clock.advance(1_000)
  return new World(clock, core)
}

interface SeenWorker {
  id: string
  pid: number
  status: string
  startTime: string
  memoryUsage: number
}

export class World {
  readonly clock: VirtualClock
  readonly core: TorchServeCore

  constructor(clock: VirtualClock, core: TorchServeCore) {
    this.clock = clock
    this.core = core
  }

  get description(): {
    minWorkers: number
    maxWorkers: number
    workers: SeenWorker[]
    jobQueueStatus: { pendingRequests: number; remainingCapacity: number }
  } {
    return JSON.parse(JSON.stringify(this.core.describe({ model: 'm' })[0]))
  }

  get workers(): SeenWorker[] {
    return this.description.workers
  }

  get ids(): string[] {
    return this.workers.map(({ id }) => id)
  }

  /** The worker at a place of the list; negative: from its end. */
  worker(place: number): SeenWorker {
    const worker = this.workers.at(place)
    if (!worker) throw new Error(`no worker at ${place}`)
    return worker
  }

  scale(count: number): Promise<number> {
    return this.core.scale({ model: 'm' }, count, count)
  }

  /** A request whose answer is kept once it has come. */
  request(kind: 'infer' | 'decoy' = 'infer'): { answer?: Answer; atMs?: number } {
    const kept: { answer?: Answer; atMs?: number } = {}
    void this.core[kind]({ model: 'm' }).then(answer => {
      kept.answer = answer
      kept.atMs = this.clock.now()
    })
    return kept
  }

  requests(count: number): ReturnType<World['request']>[] {
    return Array.from({ length: count }, () => this.request())
  }
}
