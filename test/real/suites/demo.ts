/** `npm run demo` as a newcomer runs it, watched in a real browser. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t from 'tap'
import { until } from '../until.ts'

const CHROMIUM = '/usr/bin/chromium'

t.setTimeout(180_000)

t.test('a step leads to more workers, and the page says why', async t => {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: apt-get install chromium`)
  const main = join(import.meta.dirname, '../../../src/main.ts')
  const demo = spawn(process.execPath, [main, 'demo', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(demo, 'exit')
  t.teardown(() => demo.kill('SIGKILL'))
  let printed = ''
  demo.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()))
  const address = () => /watch at (http:\S+)/.exec(printed)?.[1]
  t.ok(await until(() => address() !== undefined, 15_000), 'it prints the address of the page')

  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  await page.goto(address() ?? '')
  const text = () => page.locator('body').innerText()
  t.ok(await until(async () => /\d ready/.test(await text()), 15_000), 'the workers are shown')
  const chart = page.locator('canvas').first()
  const before = await chart.screenshot()
  // The step comes 15 s after the start.
  const grown = async () => /More load: \d → [4-8]/.test(await text())
  t.ok(await until(grown, 60_000), 'more workers are started')
  t.match(await text(), /requests\/s of \d+ ms.* need \d/, 'and the reason can be read')
  t.notSame(await chart.screenshot(), before, 'the chart has moved')
  t.match(
    printed,
    /resnet: .* need \d so that 98 % wait less than \d+ ms: \d → \d/,
    'a line for each change',
  )
  t.same(errors, [])

  demo.kill('SIGINT')
  const [code] = (await exited) as [number | null]
  t.equal(code, 0, 'Ctrl-C ends it cleanly')
})
