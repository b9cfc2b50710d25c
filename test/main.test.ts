/** The command line as a shell sees it: what is printed, and the exit code. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

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
