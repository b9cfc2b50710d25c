/**
 * `npm run test:real [suite…]`: the suites against real components, one after the other. Exit code 0 only when nothing failed;
 * the last line is `N passed, N failed`. A suite that crashes, or takes too long, counts as failed. Those that take minutes, or
 * minutes of compiling, run only by their names.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const SUITE_MS = 9 * 60_000
const LONG_SUITE_MS = 20 * 60_000
const BY_NAME: ReadonlySet<string> = new Set([
  'drain',
  'install',
  'keda',
  'memory-deferred',
  'memory-kills',
  'memory-node',
  'resize-node',
])
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

const folder = join(import.meta.dirname, 'suites')
const known = readdirSync(folder).map(file => basename(file, '.ts'))
const asked = process.argv.slice(2)
const strange = asked.filter(name => !known.includes(name))
if (strange.length > 0) {
  console.error(`No suite ${strange.join(', ')}; there are: ${known.join(', ')}`)
  process.exit(64)
}

let passed = 0
let failed = 0
const unasked = known.filter(name => !BY_NAME.has(name))
for (const name of asked.length > 0 ? asked : unasked) {
  console.log(`# ${name}`)
  const startedMs = Date.now()
  const limitMs = BY_NAME.has(name) ? LONG_SUITE_MS : SUITE_MS
  const result = await run(join(folder, `${name}.ts`), limitMs)
  passed += result.passed
  failed += result.failed
  console.log(`# ${name} took ${Math.round((Date.now() - startedMs) / 1000)} s`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

async function run(file: string, limitMs: number): Promise<{ passed: number; failed: number }> {
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  let text = ''
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    process.stdout.write(bytes)
  })
  const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL')
  // A suite has a process group of its own, so whoever ends this process would leave the suite behind, holding its output open.
  const stop = () => {
    end()
    process.exit(1)
  }
  for (const signal of STOPS) process.once(signal, stop)
  const timer = setTimeout(() => {
    console.log(`# ${file} took more than ${limitMs / 60_000} minutes`)
    end()
  }, limitMs)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  for (const signal of STOPS) process.off(signal, stop)
  const counted = /^# \{ total: \d+(?:, pass: (\d+))?(?:, fail: (\d+))?/m.exec(text)
  const failures = Number(counted?.[2] ?? 0)
  return {
    passed: Number(counted?.[1] ?? 0),
    failed: code === 0 && counted ? failures : Math.max(1, failures),
  }
}
