/** Goal: whatever nvidia-smi does, the agent goes on and says what it did. Method: programs of that name, really run. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  createNvidiaSmi,
  type NvidiaSmiOptions,
  type SmiAnswer,
} from '../../src/clients/nvidia-smi.ts'
import { wallClock } from '../../src/clock.ts'
import { ends } from './nvidia-smi-ends.ts'

/** nvidia-smi as a shell script, and a clock whose `now` can be moved. */
function smi(t: Test, script: string, options: Partial<NvidiaSmiOptions> = {}) {
  const folder = t.testdir({ 'nvidia-smi': `#!/bin/sh\n${script}\n` })
  chmodSync(join(folder, 'nvidia-smi'), 0o755)
  const time = { aheadMs: 0 }
  const clock = { now: () => wallClock.now() + time.aheadMs, sleep: wallClock.sleep }
  const env = { PATH: `${folder}:${process.env['PATH']}` }
  const client = createNvidiaSmi({ clock, env, ...options })
  t.teardown(() => client.close())
  let text = ''
  const ask = (...args: string[]) => {
    text = ''
    return client.ask(args, piece => {
      t.ok(piece.length <= 8_192, 'a piece is no larger than promised')
      text += piece
    })
  }
  return { client, ask, folder, time, text: () => text }
}

const codeOf = (answer: SmiAnswer) => (answer.kind === 'failed' ? answer.fault.code : answer.kind)

t.test('its output is handed on as it is, byte for byte', async t => {
  const { ask, text } = smi(t, String.raw`printf 'a\377b %s %s' "$1" "$2"`)
  t.match(await ask('-q', '-x'), { kind: 'read' })
  t.equal(text(), 'a\u00ffb -q -x')
})

t.test('it gets no shell, no input, and of the environment only where to find things', async t => {
  const { ask, text } = smi(t, 'echo "$1"; cat; env | cut -d= -f1 | sort | tr "\\n" " "')
  process.env['STOKER_SECRET'] = 'x'
  t.teardown(() => delete process.env['STOKER_SECRET'])
  await ask('$(touch /tmp/x); -L')
  t.match(text(), /^\$\(touch \/tmp\/x\); -L\n/)
  t.match(text(), /LC_ALL LD_LIBRARY_PATH .*PATH/)
  t.notMatch(text(), /STOKER_SECRET/)
})

for (const [script, code] of ends) {
  t.test(`${script} is ${code}`, async t => {
    const { ask } = smi(t, script)
    const answer = await ask('-q', '-x')
    t.equal(codeOf(answer), code)
    if (answer.kind !== 'failed') return
    t.match(
      answer.fault.message,
      /^nvidia-smi -q -x (ended with exit code \d+|was ended by SIGSEGV)/,
    )
    const said = /echo "(\w+)/.exec(script)?.[1]
    if (said) t.match(answer.fault.message, said, 'its own words are quoted')
  })
}

t.test('a corrupted infoROM is told, and the data is good', async t => {
  const { ask, text } = smi(
    t,
    'echo data; echo "WARNING: infoROM is corrupted at gpu 0000:3B:00.0"; exit 14',
  )
  t.match(await ask('-q', '-x'), { kind: 'read', warning: { code: 'NVIDIA_SMI_INFOROM' } })
  t.match(text(), /^data\n/)
})

t.test('without the program nothing is tried for minutes', async t => {
  const time = { ms: 0 }
  const clock = { now: () => time.ms, sleep: wallClock.sleep }
  const client = createNvidiaSmi({ clock, env: { PATH: t.testdir({}) } })
  t.match(await client.ask(['-L'], () => {}), { kind: 'absent', why: /ENOENT/ })
  time.ms = 299_000
  t.notOk(client.idle())
  time.ms = 301_000
  t.ok(client.idle())
})

t.test('a child that sleeps for ever is killed with its children', async t => {
  const { client, ask, folder } = smi(t, 'sleep 1000 & echo $! > "$0.pid"; wait', {
    timeoutMs: 300,
  })
  const startedMs = performance.now()
  const asking = ask('-q', '-x')
  t.notOk(client.idle(), 'one question at a time')
  const answer = await asking
  t.equal(codeOf(answer), 'NVIDIA_SMI_HANGS')
  t.ok(performance.now() - startedMs < 3_000)
  const pid = readFileSync(join(folder, 'nvidia-smi.pid'), 'utf8').trim()
  for (let tries = 0; tries < 50 && isAlive(pid); tries++) await sleep(20)
  t.notOk(isAlive(pid), 'its child is gone, too')
})

t.test('a child that ignores SIGTERM is killed', async t => {
  const { ask } = smi(t, 'trap "" TERM INT HUP; while :; do sleep 0.1; done', { timeoutMs: 200 })
  const answer = await ask('-q', '-x')
  t.equal(codeOf(answer), 'NVIDIA_SMI_HANGS')
  if (answer.kind === 'failed') t.notMatch(answer.fault.message, 'cannot be killed')
})

t.test(
  'a child that not even SIGKILL ends is left alone, and no second one is started',
  async t => {
    const { client, ask, folder, time } = smi(
      t,
      'echo $$ > "$0.pid"; while :; do sleep 0.1; done',
      {
        timeoutMs: 300,
        kill: () => {},
      },
    )
    const answer = await ask('-q', '-x')
    t.match(answer, { kind: 'failed', fault: { message: /cannot be killed/ } })
    time.aheadMs = 3_600_000
    t.notOk(client.idle(), 'not even after an hour')
    process.kill(-Number(readFileSync(join(folder, 'nvidia-smi.pid'), 'utf8')), 'SIGKILL')
    for (let tries = 0; tries < 100 && !client.idle(); tries++) await sleep(20)
    t.ok(client.idle(), 'it is asked again once that one is gone')
  },
)

t.test('a grandchild that keeps the pipe open does not hold the answer up', async t => {
  const { ask, text } = smi(t, 'echo done; sleep 5 &')
  const startedMs = performance.now()
  t.match(await ask('-L'), { kind: 'read' })
  t.equal(text(), 'done\n')
  t.ok(performance.now() - startedMs < 3_000)
})

t.test('output without end is cut off', async t => {
  const { ask } = smi(t, 'yes', { maxBytes: 100_000 })
  t.equal(codeOf(await ask('-q', '-x')), 'NVIDIA_SMI_TOO_LARGE')
})

t.test('after failures it rests longer and longer, and a success ends that', async t => {
  const { client, ask, folder, time } = smi(t, 'test -e "$0.ok" || exit 9')
  for (const pauseMs of [1_000, 5_000, 30_000, 300_000, 300_000]) {
    await ask('-L')
    t.notOk(client.idle())
    time.aheadMs += pauseMs - 500
    t.notOk(client.idle(), `${pauseMs} ms`)
    time.aheadMs += 1_000
    t.ok(client.idle())
  }
  writeFileSync(join(folder, 'nvidia-smi.ok'), '')
  t.match(await ask('-L'), { kind: 'read' })
  t.ok(client.idle())
})

t.test('closing ends what runs', async t => {
  const { client, ask, folder } = smi(t, 'echo $$ > "$0.pid"; exec sleep 1000')
  const asking = ask('-q', '-x')
  const file = join(folder, 'nvidia-smi.pid')
  for (let tries = 0; tries < 100 && !existsSync(file); tries++) await sleep(20)
  client.close()
  t.equal(codeOf(await asking), 'NVIDIA_SMI_FAILED')
})

t.test('an agent that ends does not wait for a child that cannot be killed', async t => {
  const folder = t.testdir({ 'nvidia-smi': '#!/bin/sh\necho $$ > "$0.pid"; exec sleep 1000\n' })
  chmodSync(join(folder, 'nvidia-smi'), 0o755)
  const file = join(folder, 'nvidia-smi.pid')
  const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)
  const agent = `
    import { createNvidiaSmi } from ${at('../../src/clients/nvidia-smi.ts')}
    import { wallClock as clock } from ${at('../../src/clock.ts')}
    import { existsSync } from 'node:fs'
    const env = { PATH: ${JSON.stringify(`${folder}:${process.env['PATH']}`)} }
    const smi = createNvidiaSmi({ clock, env, kill: () => {} })
    void smi.ask(['-q', '-x'], () => {})
    while (!existsSync(${JSON.stringify(file)})) await clock.sleep(10)
    console.log('closing')
    smi.close()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', agent], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const closedMs = performance.now()
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 0)
  t.ok(performance.now() - closedMs < 6_000)
  const pid = readFileSync(file, 'utf8').trim()
  t.ok(isAlive(pid), 'it is still there')
  process.kill(Number(pid), 'SIGKILL')
})

function isAlive(pid: string): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
