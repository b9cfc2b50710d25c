import { asleep, type Processes } from '../clients/processes.ts'

/** One listed worker with its process. */
export interface Listed {
  id: string
  pid: number
}

/** Two looks at an idle worker must be this far apart before it counts as not having the decoy. */
const SETTLE_MS = 4

/**
 * The workers' order in TorchServe's line. Idle worker threads stand in line for one lock, the one that has been idle longest
 * first; whoever holds it gets the next job.
 */
export class Line {
  #idleSince = new Map<string, number>()
  readonly #processes: Processes

  constructor(processes: Processes) {
    this.#processes = processes
  }

  look(workers: readonly Listed[], nowMs: number): void {
    for (const { id, pid } of workers) {
      if (this.#processes.look(pid) !== 'idle') this.#idleSince.delete(id)
      else if (!this.#idleSince.has(id)) this.#idleSince.set(id, nowMs)
    }
  }

  isIdle(id: string): boolean {
    return this.#idleSince.has(id)
  }

  idleForMs(id: string, nowMs: number): number {
    return nowMs - (this.#idleSince.get(id) ?? nowMs)
  }

  idle(): number {
    return this.#idleSince.size
  }

  isFirst(id: string): boolean {
    const since = this.#idleSince.get(id)
    return since !== undefined && this.#idleSince.values().every(other => since <= other)
  }
}

/**
 * Finds out which workers cannot have taken a certain job: those whose TorchServe threads have not moved since before it was
 * sent, and those whose process was seen idle, twice, after it had left the queue; one that held the job would be busy with it.
 */
export class Alibis {
  readonly #processes: Processes
  readonly #before: ReadonlyMap<string, string | undefined>
  readonly #idleSince = new Map<string, number>()
  readonly #cleared = new Set<string>()
  readonly #others: readonly Listed[]

  /** To be made before the job is sent. */
  constructor(processes: Processes, others: readonly Listed[]) {
    this.#processes = processes
    this.#others = others
    this.#before = new Map(others.map(({ id, pid }) => [id, processes.thread(id, pid)]))
  }

  /** To be called only once the job has left the queue; true when only the worker that is not among the others can have it. */
  allClear(nowMs: number): boolean {
    for (const worker of this.#others) {
      if (!this.#cleared.has(worker.id) && this.#hasAlibi(worker, nowMs))
        this.#cleared.add(worker.id)
    }
    return this.#cleared.size === this.#others.length
  }

  #hasAlibi({ id, pid }: Listed, nowMs: number): boolean {
    const before = this.#before.get(id)
    const now = this.#processes.thread(id, pid)
    if (before !== undefined && now === before && asleep(now)) return true
    if (this.#processes.look(pid) !== 'idle') {
      this.#idleSince.delete(id)
      return false
    }
    const since = this.#idleSince.get(id) ?? nowMs
    this.#idleSince.set(id, since)
    return nowMs - since >= SETTLE_MS
  }
}
