import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { guardProcess } from '../../src/actuate/stopping.ts'

const stateOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.charAt(0)

async function until(condition: () => boolean, ms: number): Promise<boolean> {
  const end = performance.now() + ms
  while (performance.now() < end) {
    if (condition()) return true
    await sleep(5)
  }
  return false
}

function sleeper(test: { teardown(end: () => unknown): unknown }): number {
  const child = spawn('sleep', ['60'])
  test.teardown(() => child.kill('SIGKILL'))
  return child.pid ?? 0
}

t.test('a stopped worker goes on when the agent is gone', async t => {
  const pid = sleeper(t)
  const guard = await guardProcess(pid)
  guard.announce('stop')
  process.kill(pid, 'SIGSTOP')
  t.ok(await until(() => stateOf(pid) === 'T', 1_000))
  guard.end()
  t.ok(await until(() => stateOf(pid) === 'S', 1_000), 'at once')
})

t.test('a stop that nobody takes back ends after 2 s', async t => {
  const pid = sleeper(t)
  const guard = await guardProcess(pid)
  t.teardown(() => guard.end())
  const stoppedMs = performance.now()
  guard.announce('stop')
  process.kill(pid, 'SIGSTOP')
  t.ok(await until(() => stateOf(pid) === 'T', 1_000))
  t.ok(await until(() => stateOf(pid) === 'S', 4_000))
  t.ok(performance.now() - stoppedMs > 1_500, 'not before')
})
