import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Processes } from '../clients/processes.ts'

/** A guard that has not said it watches by then is not waited for. */
const START_MS = 5_000

/** Sees to it that a stopped worker goes on even if the agent dies. */
export interface Guard {
  announce(what: 'stop' | 'continue'): void
  end(): void
}

export type OpenGuard = (pid: number) => Promise<Guard>

/** Starts guard.ts as a process of its own, in a session of its own so that Ctrl-C reaches only the agent. */
export const guardProcess: OpenGuard = pid =>
  new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('guard.ts', import.meta.url)), String(pid)],
      {
        detached: true,
        env: {},
        stdio: ['pipe', 'pipe', 'ignore'],
      },
    )
    const timer = setTimeout(() => child.kill('SIGKILL'), START_MS)
    child.stdin.on('error', () => {})
    child.on('error', reject)
    child.on('exit', () => reject(new Error('the guard process ended before it watched')))
    child.stdout.once('data', () => {
      clearTimeout(timer)
      child.unref()
      resolve({
        announce: what => void child.stdin.write(what === 'stop' ? 's' : 'c'),
        end: () => child.stdin.end(),
      })
    })
  })

/** One worker that can be stopped and continued, guarded. */
export interface Stoppable {
  stop(): boolean
  goOn(): void
}

export function stoppable(processes: Processes, guard: Guard, pid: number): Stoppable {
  return {
    stop() {
      guard.announce('stop')
      // The pid was read a moment ago; a process that took it over since is not ours to stop.
      return processes.isWorker(pid) === true && processes.signal(pid, 'SIGSTOP')
    },
    goOn() {
      processes.signal(pid, 'SIGCONT')
      guard.announce('continue')
    },
  }
}
