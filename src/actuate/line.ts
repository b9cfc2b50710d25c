import type { Processes } from '../clients/processes.ts'

/** One listed worker with its process. */
export interface Listed {
  id: string
  pid: number
}

/** A worker that TorchServe no longer lists but has a thread for: it may go on taking jobs. Its process is not known. */
export interface Unlisted {
  id: string
}

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

/** Finds out that a certain job is with none of these workers. */
export class Alibis {
  readonly #processes: Processes
  readonly #pid: number
  readonly #others: readonly (Listed | Unlisted)[]
  readonly #before: ReadonlyMap<string, string | undefined>

  /** To be made before the job is sent; `pid` is any worker of the same TorchServe. */
  constructor(processes: Processes, pid: number, others: readonly (Listed | Unlisted)[]) {
    this.#processes = processes
    this.#pid = pid
    this.#others = others
    this.#before = new Map(others.map(({ id }) => [id, processes.thread(id, pid)]))
  }

  /**
   * To be asked only once the job has left the queue. True when TorchServe was seen to stand still, so that the job has arrived
   * wherever it was going, and meanwhile each of these workers was either idle or waiting for a job that it was given before.
   */
  allClear(): boolean {
    if (this.#others.length === 0) return true
    return standsStill(this.#processes, this.#pid, () =>
      this.#others.every(other => this.#hasAlibi(other)),
    )
  }

  #hasAlibi(other: Listed | Unlisted): boolean {
    const before = this.#before.get(other.id)
    const unmoved = before !== undefined && this.#processes.thread(other.id, this.#pid) === before
    return unmoved || ('pid' in other && this.#processes.look(other.pid) === 'idle')
  }
}

/** Whether TorchServe moved nothing while `meanwhile` looked, and that was true. */
export function standsStill(
  processes: Processes,
  workerPid: number,
  meanwhile: () => boolean = () => true,
): boolean {
  const before = processes.still(workerPid)
  return before !== undefined && meanwhile() && processes.still(workerPid) === before
}
