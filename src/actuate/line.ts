import type { Processes } from '../clients/processes.ts'

/** One listed worker with its process. */
export interface Listed {
  id: string
  pid: number
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
  readonly #others: readonly Listed[]
  readonly #before: ReadonlyMap<string, string | undefined>

  /** To be made before the job is sent. */
  constructor(processes: Processes, others: readonly Listed[]) {
    this.#processes = processes
    this.#others = others
    this.#before = new Map(others.map(({ id, pid }) => [id, processes.thread(id, pid)]))
  }

  /**
   * To be asked only once the job has left the queue. True when TorchServe was seen to stand still, so that the job has arrived
   * wherever it was going, and meanwhile each of these workers was either idle or waiting for a job that it was given before.
   */
  allClear(): boolean {
    const [first] = this.#others
    if (!first) return true
    return standsStill(this.#processes, first.pid, () =>
      this.#others.every(other => this.#hasAlibi(other)),
    )
  }

  #hasAlibi({ id, pid }: Listed): boolean {
    const before = this.#before.get(id)
    const unmoved = before !== undefined && this.#processes.thread(id, pid) === before
    return unmoved || this.#processes.look(pid) === 'idle'
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
