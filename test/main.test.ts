/** The command line as a shell sees it: what is printed, and the exit code. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startTorchServe } from '../src/simulate/torchserve.ts'

const main = join(import.meta.dirname, '../src/main.ts')

function stoker(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    env,
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { status, stdout, stderr }
}

t.test('help is where people look for it', async t => {
  for (const args of [[], ['--help'], ['agent', '--help'], ['demo', '-h']]) {
    const { status, stdout, stderr } = stoker(args)
    t.match({ status, stderr }, { status: 0, stderr: '' }, args.join(' '))
    t.match(stdout, /Usage: stoker[^]*STOKER_MANAGEMENT_URL/)
  }
  t.match(stoker(['--version']), { status: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
})

t.test('what cannot be understood is named, with exit code 64', async t => {
  t.match(stoker(['agnet']), { status: 64, stderr: /Unknown command agnet[^]*Usage/ })
  t.match(stoker(['agent', '--fast']), { status: 64, stderr: /--fast/ })
  const url = stoker(['demo', '--torchserve', 'localhost:8081'])
  t.match(url, { status: 64, stderr: /localhost:8081 is not an http URL/ })
  const { status, stderr } = stoker(['agent'], { STOKER_MODE: 'Act', STOKER_MAXWORKERS: '2' })
  t.equal(status, 64)
  t.match(stderr, /STOKER_MODE="Act" must be act or advise/)
  t.match(stderr, /STOKER_MAXWORKERS is not a setting; did you mean STOKER_MAX_WORKERS/)
})

t.test('SIGTERM ends an agent that has nothing under way at once', async t => {
  const nowhere = 'http://127.0.0.1:9'
  const agent = spawn(process.execPath, [main, 'agent'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      STOKER_MANAGEMENT_URL: nowhere,
      STOKER_METRICS_URL: nowhere,
      STOKER_INFERENCE_URL: nowhere,
      STOKER_LISTEN_PORT: '0',
    },
  })
  t.teardown(() => agent.kill('SIGKILL'))
  const exited = once(agent, 'exit')
  await once(agent.stdout, 'data')
  const askedMs = performance.now()
  agent.kill('SIGTERM')
  t.same(await exited, [0, null])
  const tookMs = performance.now() - askedMs
  t.ok(tookMs < 3_000, `${Math.round(tookMs)} ms`)
})

t.test('an agent that only advises says what it would do, and does not', async t => {
  const listed = async (mode: string) => {
    const emulation = await startTorchServe({ models: [{ name: 'm' }] })
    t.teardown(() => emulation.close())
    const agent = spawn(process.execPath, [main, 'agent'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        STOKER_MANAGEMENT_URL: emulation.managementUrl,
        STOKER_METRICS_URL: emulation.metricsUrl,
        STOKER_INFERENCE_URL: emulation.inferenceUrl,
        STOKER_LISTEN_PORT: '0',
        STOKER_MIN_WORKERS: '2',
        STOKER_MODE: mode,
        // Else it would wait to see what the workers of a TorchServe need that happens to run on this machine.
        STOKER_WORKER_MEMORY: '1Mi',
      },
    })
    t.teardown(() => agent.kill('SIGKILL'))
    let log = ''
    agent.stdout.on('data', (bytes: Buffer) => (log += bytes.toString()))
    for (let i = 0; i < 400 && !log.includes('below_minimum'); i++) await sleep(25)
    t.match(log, /below_minimum/, mode)
    await sleep(300)
    const [description] = emulation.core.describe({ model: 'm' })
    return description?.['minWorkers']
  }
  t.equal(await listed('advise'), 1)
  t.equal(await listed('act'), 2)
})
