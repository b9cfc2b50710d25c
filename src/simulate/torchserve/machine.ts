import { asleep, type Doing, type Processes } from '../../clients/processes.ts'
import type { ProcessUse } from '../../model.ts'
import { Process } from './process.ts'
import type { Worker } from './worker.ts'

/** Above the largest process id Linux gives out, so that a signal meant for these can never reach a real process. */
const FIRST_PID = 5_000_001

/** The machine under the emulated TorchServe: its worker processes, as an agent beside it sees them. */
export class Machine implements Processes {
  #nextPid = FIRST_PID
  readonly #processes = new Map<number, Process>()
  readonly #pools: () => readonly (readonly Worker[])[]

  /** `pools`: by pool, the workers that have a thread, unlisted ones included. */
  constructor(pools: () => readonly (readonly Worker[])[]) {
    this.#pools = pools
  }

  spawn(bytes: number, onExit: () => void): Process {
    const process = new Process(this.#nextPid++, bytes, ({ pid }) => {
      this.#processes.delete(pid)
      onExit()
    })
    this.#processes.set(process.pid, process)
    return process
  }

  /** Ends a process as the kernel or a person would; exit code 137 is SIGKILL. */
  kill(pid: number, exitCode: number): void {
    this.#processes.get(pid)?.exit(exitCode)
  }

  /** Resident bytes of one process; undefined when it is gone. */
  bytesOf(pid: number): number | undefined {
    return this.#processes.get(pid)?.bytes
  }

  /** Resident bytes of all worker processes, lost ones included. */
  get bytes(): number {
    return [...this.#processes.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  look(pid: number): Doing {
    return this.#processes.get(pid)?.look() ?? 'gone'
  }

  thread(workerId: string, workerPid: number): string | undefined {
    if (!this.#processes.has(workerPid)) return undefined
    return this.#poolOf(workerId).find(({ id }) => id === workerId)?.threadText
  }

  siblings(workerId: string): string[] {
    return this.#poolOf(workerId).map(({ id }) => id)
  }

  still(): string | undefined {
    const texts = this.#pools()
      .flat()
      .map(({ threadText }) => threadText)
    return texts.every(asleep) ? texts.join(' ') : undefined
  }

  use(pid: number): ProcessUse | undefined {
    const process = this.#processes.get(pid)
    return process && { bytes: process.bytes, cpuMs: process.cpuMs }
  }

  isWorker(pid: number): boolean {
    return this.#processes.has(pid)
  }

  signal(pid: number, signal: 'SIGSTOP' | 'SIGCONT'): boolean {
    return this.#processes.get(pid)?.signal(signal) ?? false
  }

  #poolOf(workerId: string): readonly Worker[] {
    return this.#pools().find(workers => workers.some(({ id }) => id === workerId)) ?? []
  }
}
