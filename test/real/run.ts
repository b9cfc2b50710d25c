/**
 * `npm run test:real [suite…]`: the suites against real components, one after the other but for a few that mostly wait. Exit code
 * 0 only when nothing failed; the last line is `N passed, N failed`. A suite that crashes, or takes too long, counts as failed. Those that take minutes, or
 * minutes of compiling, run only by their names.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const SUITE_MS = 9 * 60_000
const LONG_SUITE_MS = 20 * 60_000
const BY_NAME: ReadonlySet<string> = new Set([
  'deletion-order',
  'drain',
  'given-secret',
  'install',
  'issuer',
  'keda',
  'loop',
  'memory-deferred',
  'memory-kills',
  'memory-node',
  'pictures',
  'resize-node',
  'v2',
])
/** They wait for a demo's load or for scrapes, and measure nothing that a neighbour disturbs. */
const TOGETHER: readonly (readonly string[])[] = [
  ['demo', 'demo-memory'],
  ['dashboards', 'prometheus'],
  ['key-file', 'renewal'],
]
/** After its summary. Node 24 may spin in its own end for ever, where a socket was open. */
const ENDING_MS = 10_000
const SUMMARY = /^# \{ total: \d+(?:, pass: (\d+))?(?:, fail: (\d+))?/m
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

const folder = join(import.meta.dirname, 'suites')
const known = readdirSync(folder).map(file => basename(file, '.ts'))
const asked = process.argv.slice(2)
const strange = asked.filter(name => !known.includes(name))
if (strange.length > 0) {
  console.error(`No suite ${strange.join(', ')}; there are: ${known.join(', ')}`)
  process.exit(64)
}

for (const signal of STOPS) process.once(signal, () => process.exit(1))

let passed = 0
let failed = 0
const chosen = asked.length > 0 ? asked : known.filter(name => !BY_NAME.has(name))
const groups = Map.groupBy(chosen, name => TOGETHER.find(names => names.includes(name)) ?? name)
for (const names of groups.values()) {
  const isAlone = names.length === 1
  await Promise.all(
    names.map(async name => {
      console.log(`# ${name}`)
      const startedMs = Date.now()
      const result = await run(name, isAlone)
      passed += result.passed
      failed += result.failed
      console.log(`# ${name} took ${Math.round((Date.now() - startedMs) / 1000)} s`)
    }),
  )
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

/** `live`: its output is shown as it comes, else when it has ended. */
async function run(name: string, live: boolean): Promise<{ passed: number; failed: number }> {
  const limitMs = BY_NAME.has(name) ? LONG_SUITE_MS : SUITE_MS
  const child = spawn(process.execPath, [join(folder, `${name}.ts`)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  let text = ''
  let ending: NodeJS.Timeout | undefined
  let isGivenUp = false
  const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL')
  const giveUp = () => {
    isGivenUp = true
    console.log(`# ${name} has ended, and its process has not`)
    end()
  }
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    if (!ending && SUMMARY.test(text)) ending = setTimeout(giveUp, ENDING_MS)
    if (live) process.stdout.write(bytes)
  })
  // A suite has a process group of its own, so whoever ends this process would leave the suite behind, holding its output open.
  process.once('exit', end)
  const timer = setTimeout(() => {
    console.log(`# ${name} took more than ${limitMs / 60_000} minutes`)
    end()
  }, limitMs)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  clearTimeout(ending)
  if (!live) process.stdout.write(text)
  process.off('exit', end)
  const counted = SUMMARY.exec(text)
  const failures = Number(counted?.[2] ?? 0)
  return {
    passed: Number(counted?.[1] ?? 0),
    failed: (code === 0 || isGivenUp) && counted ? failures : Math.max(1, failures),
  }
}
