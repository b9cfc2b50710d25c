import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { guardProcess, stoppable } from '../../src/actuate/stopping.ts'

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

t.test('no stop is without its announcement, and nothing but a worker is stopped', async t => {
  const told: string[] = []
  let worker = true
  const processes = {
    look: () => 'idle' as const,
    thread: () => undefined,
    use: () => undefined,
    siblings: () => [],
    still: () => undefined,
    isWorker: () => worker,
    signal: (pid: number, signal: string) => told.push(`${signal} ${pid}`) > 0,
  }
  const guard = { announce: (what: string) => void told.push(what), end: () => {} }
  const one = stoppable(processes, guard, 7)
  t.equal(one.stop(), true)
  one.goOn()
  t.same(told.splice(0), ['stop', 'SIGSTOP 7', 'SIGCONT 7', 'continue'])
  worker = false
  t.equal(one.stop(), false)
  t.same(told, ['stop'])
})
