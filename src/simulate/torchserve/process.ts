import type { Doing } from '../../clients/processes.ts'
import type { Device, Task } from './device.ts'

/** Exit code of a process that was killed with SIGKILL. */
export const KILLED = 137

/** One Python worker process: it runs one message at a time, and not at all while it is stopped. */
export class Process {
  readonly pid: number
  readonly bytes: number
  exitCode: number | undefined
  /** Processor time of what it has finished. */
  cpuMs = 0
  #task: Task | undefined
  #stopped = false
  readonly #onExit: (process: Process) => void

  constructor(pid: number, bytes: number, onExit: (process: Process) => void) {
    this.pid = pid
    this.bytes = bytes
    this.#onExit = onExit
  }

  /** Work that arrives while the process is stopped waits in its socket. Never resolves if the process dies meanwhile. */
  async run(device: Device, workMs: number): Promise<void> {
    const task = device.start(workMs, this.#stopped)
    this.#task = task
    await task.done
    this.#task = undefined
    this.cpuMs += workMs
  }

  look(): Doing {
    if (this.exitCode !== undefined) return 'gone'
    if (this.#stopped) return 'stopped'
    return this.#task ? 'busy' : 'idle'
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): boolean {
    if (this.exitCode !== undefined) return false
    const stop = signal === 'SIGSTOP'
    if (stop === this.#stopped) return true
    this.#stopped = stop
    if (stop) this.#task?.pause()
    else this.#task?.resume()
    return true
  }

  exit(code: number): void {
    if (this.exitCode !== undefined) return
    this.exitCode = code
    this.#task?.cancel()
    this.#onExit(this)
  }
}
