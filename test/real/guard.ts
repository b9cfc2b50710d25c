/**
 * Runs a program so that nothing of it outlives this process, kill -9 included. A guard, a shell in a session of its own,
 * holds the program's process group: it kills the group and removes the folder when its standard input ends, which
 * happens on release() and when this process dies in any way.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const GUARD = `
after=$1
shift
setsid "$@" </dev/null &
read -r folder_stays
kill -s KILL -- -$! || kill -s KILL $!
wait
eval "$after"
[ -n "$folder_stays" ] || rm -rf -- "$STOKER_TEST_FOLDER"
`
const LOG_TAIL_CHARS = 4000

interface GuardOptions {
  /** The program's working folder; its output goes to server.log there. The program finds it in STOKER_TEST_FOLDER. */
  folder: string
  env?: NodeJS.ProcessEnv
  /** Shell commands that take away what the program made outside its folder; they run after it has been killed. */
  after?: string
}

export interface Guarded {
  /** Whether the guard itself has gone; it stays when its program ends. */
  ended(): boolean
  /** Kills the program and what it started. Resolves when they, and without `keepFolder` their folder, are gone. */
  release(options?: { keepFolder: boolean }): Promise<void>
}

export function startGuarded(command: readonly string[], options: GuardOptions): Guarded {
  const { folder, env = process.env, after = '' } = options
  const log = openSync(join(folder, 'server.log'), 'a')
  const guard = spawn('/bin/sh', ['-c', GUARD, 'guard', after, ...command], {
    cwd: folder,
    detached: true,
    stdio: ['pipe', log, log],
    env: { ...env, STOKER_TEST_FOLDER: folder },
  })
  closeSync(log)
  guard.unref()
  const ended = () => guard.exitCode !== null || guard.signalCode !== null
  return {
    ended,
    async release({ keepFolder } = { keepFolder: false }) {
      if (ended()) return
      const gone = once(guard, 'exit')
      guard.ref()
      guard.stdin?.end(keepFolder ? 'keep the folder\n' : '')
      await gone
    },
  }
}

/** The end of the program's output. */
export function logTail(folder: string): string {
  return readFileSync(join(folder, 'server.log'), 'utf8').slice(-LOG_TAIL_CHARS)
}
