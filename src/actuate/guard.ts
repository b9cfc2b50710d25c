#!/usr/bin/env node
/**
 * Stands beside the agent while a worker may be stopped: `node guard.ts <pid>`. Whatever happens to the agent, the worker goes
 * on: at once when standard input ends, and 2 s after each stop that nobody took back.
 * On standard input `s` announces a stop and `c` a continue; `ready` is printed when it watches.
 */
const LONGEST_STOP_MS = 2_000

const pid = Number(process.argv[2])
let timer: NodeJS.Timeout | undefined

function goOn(): void {
  clearTimeout(timer)
  try {
    process.kill(pid, 'SIGCONT')
  } catch {
    // It is gone: nothing is left to continue.
  }
}

process.stdin.on('data', (bytes: Buffer) => {
  clearTimeout(timer)
  if (bytes.at(-1) === 's'.charCodeAt(0)) timer = setTimeout(goOn, LONGEST_STOP_MS)
})
process.stdin.on('end', () => {
  goOn()
  process.exit(0)
})
process.stdout.write('ready\n')
