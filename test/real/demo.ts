/** `npm run demo` with its page open in a real browser. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Test } from 'tap'
import { until } from './until.ts'

export const MAIN = join(import.meta.dirname, '../../src/main.ts')
const CHROMIUM = '/usr/bin/chromium'
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'

export async function openDemo(t: Test, ...options: string[]) {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: apt-get install chromium`)
  const demo = spawn(process.execPath, [MAIN, 'demo', '--port', '0', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(demo, 'exit')
  t.teardown(() => demo.kill('SIGKILL'))
  let printed = ''
  demo.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()))
  const address = () => /watch at (http:\S+)/.exec(printed)?.[1]
  t.ok(await until(() => address() !== undefined, 15_000), 'it prints the address of the page')

  const browser = await chromium.launch({ executablePath: CHROMIUM, args: flags.split(' ') })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  await page.goto(address() ?? '')
  const text = () => page.locator('body').innerText()
  const end = async () => {
    t.same(errors, [])
    demo.kill('SIGINT')
    const [code] = (await exited) as [number | null]
    t.equal(code, 0, 'Ctrl-C ends it cleanly')
  }
  return { page, text, printed: () => printed, end }
}
