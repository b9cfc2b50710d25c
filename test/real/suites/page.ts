/**
 * Goal: a person who opens the page sees what the agent does, on any screen, in either scheme, and through a restart.
 * Method: Debian's Chromium on the served page, with ticks scripted by hand. Screenshots go to a folder that is printed.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { createExport } from '../../../src/export/server.ts'
import type { Tick } from '../../../src/export/tick.ts'
import { GIB, machine, slices } from '../../export/gpus.ts'
import { actionOf, tickOf, type PoolSketch, type TickSketch } from '../../export/ticks.ts'

const executablePath = '/usr/bin/chromium'
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const START_MS = Date.UTC(2026, 2, 4, 10)

if (!existsSync(executablePath))
  throw new Error(`${executablePath} is not there; on Debian: apt-get install chromium`)
const shots = mkdtempSync(join(tmpdir(), 'stoker-page-'))
t.comment(`screenshots in ${shots}`)
const browser: Browser = await chromium.launch({ executablePath, args: flags.split(' ') })
t.teardown(async () => {
  await browser.close()
  if (t.passing() && process.env['CI']) rmSync(shots, { recursive: true })
})

/** The served export with a clock that moves one second a tick. */
async function agent(port = 0, mode: 'act' | 'advise' = 'act', startMs = START_MS) {
  const time = { ms: startMs }
  const clock = { now: () => time.ms, sleep: async () => {} }
  const config = { mode, tickMs: 1_000, listenHost: '127.0.0.1', listenPort: port }
  const shown = createExport({ config, clock, version: '1.2.3' })
  const url = await shown.listen()
  const tick = (sketch: Omit<TickSketch, 'atMs'>) => {
    time.ms += 1_000
    const made: Tick = tickOf({ atMs: time.ms, ...sketch })
    shown.record(made)
  }
  return { url, time, tick, close: () => shown.close() }
}

async function open(t: Test, url: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1240, height: 1000 }, ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(String(error)))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  page.setDefaultTimeout(6_000)
  await page.goto(url)
  return { page, errors }
}

/** Two minutes in which load rises, a worker is started, and another model is left alone. */
function twoMinutes(second: number): Omit<TickSketch, 'atMs'> {
  const arrivalsPerSecond = 4 + second / 12 + 2 * Math.sin(second / 8)
  const ready = second < 60 ? 2 : 3
  const loading = second >= 48 && second < 60 ? 1 : 0
  const grown = { reason: 'demand', because: '9.4 requests/s of 200 ms need 3: 2 → 3.' } as const
  const load = { arrivalsPerSecond, ready, loading, listed: ready + loading, held: ready + loading }
  const resnet: PoolSketch = {
    inputs: { ...load, waiting: Math.max(0, Math.round(second / 4 - 10)), knee: 5, usable: 5 },
    because: `${ready} workers are right.`,
    ...(loading ? { reason: 'loading', because: '1 worker is still loading.' } : {}),
    ...(second === 47 ? { ...grown, action: { kind: 'grow', from: 2, to: 3 } } : {}),
  }
  const commanded = { kind: 'commanded', action: actionOf({}, 'grow', 2, 3), atMs: START_MS }
  return {
    pools: [resnet, stateful],
    outcomes: second === 48 ? [{ ...commanded, kind: 'commanded' }] : [],
  }
}

const stateful: PoolSketch = {
  model: 'a_rather_long_model_name_that_somebody_chose_for_speech_recognition',
  reason: 'refused',
  because: 'Workers of this model are left alone: its sequences are tied to their worker.',
  inputs: { ready: 1, loading: 0, listed: 1, needed: null, held: null, serviceMs: null },
}

const pool = (page: Page, name: string) =>
  page.locator('.pool', { has: page.locator('.model', { hasText: name }) })
/** Code for the page goes as text, for it sees another world than this file's types. */
const pixels = (page: Page, index: number) =>
  page.evaluate<unknown>(`document.querySelectorAll('canvas')[${index}].toDataURL()`)

/** How many pixels of the second chart have this colour, nearly. */
async function inkOf(page: Page, ...colour: readonly [red: number, green: number, blue: number]) {
  const count = await page.evaluate<unknown>(`{
    const canvas = document.querySelectorAll('canvas')[1]
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const near = at => [${colour.join()}].every((part, channel) => Math.abs(data[at + channel] - part) < 12)
    data.filter((_, at) => at % 4 === 0 && near(at)).length
  }`)
  return Number(count)
}

t.setTimeout(120_000)

t.test('before there is anything to scale the page says what it waits for', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  const { page, errors } = await open(t, url)
  await page.getByText('Lighting the fire').waitFor()
  tick({ torchserve: 'absent' })
  await page.getByText('Waiting for TorchServe').waitFor()
  await page.screenshot({ path: join(shots, 'no-torchserve.png') })
  tick({ notes: [{ code: 'METRICS_MODE_LOG', message: 'Set metrics_mode=prometheus.' }] })
  await page.getByText(`curl -X POST 'http://127.0.0.1:8081/models?url=`).waitFor()
  await page.getByText('Set metrics_mode=prometheus.').waitFor()
  await page.screenshot({ path: join(shots, 'no-models.png') })
  tick({ pools: [{}] })
  await pool(page, 'resnet').waitFor()
  t.notOk(await page.locator('#empty').isVisible())
  t.same(errors, [])
})

t.test('a pool shows its sentence, its workers, its numbers and lines that move', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  for (let second = 0; second < 120; second++) tick(twoMinutes(second))
  const { page, errors } = await open(t, url)
  const card = pool(page, 'resnet')
  await card.getByText('3 workers are right.').waitFor()
  t.equal(await card.locator('.workers .ready').count(), 3)
  t.equal(await card.locator('.workers .loading').count(), 0)
  t.equal(await card.locator('.workers .room').count(), 2, 'room up to the knee')
  t.equal(await card.locator('.tally').innerText(), '3 ready · 3 wanted')
  t.match(await card.locator('.numbers').first().innerText(), /Service time\s+200 ms/)
  t.match(await pool(page, 'long_model').locator('.because').innerText(), /left alone/)
  t.equal(await card.locator('canvas').count(), 3)

  const label = card.locator('.plot').nth(1)
  t.match(await label.getAttribute('aria-label'), /Workers over the last .*; now ready 3/)
  const before = await Promise.all([0, 1, 2].map(index => pixels(page, index)))
  tick({ pools: [{ inputs: { ready: 5, loading: 1, dead: 2, serviceMs: 400, waiting: 90 } }] })
  await card.getByText('5 ready · 1 loading · 2 dead').waitFor()
  const after = await Promise.all([0, 1, 2].map(index => pixels(page, index)))
  for (const index of [0, 1, 2]) t.not(after[index], before[index], `chart ${index} moved`)
  t.equal(await card.locator('.workers .dead').count(), 2)
  t.equal(await page.locator('.pool').count(), 1, 'a model that is gone takes its card along')

  await card.locator('.plot').first().hover()
  await card.getByText(/^Load at \d/).waitFor()
  t.same(errors, [])
})

t.test('lines are drawn in the colours of the scheme, and follow it', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  for (let second = 0; second < 120; second++) tick(twoMinutes(second))
  const { page, errors } = await open(t, url)
  await pool(page, 'resnet').waitFor()
  t.ok((await inkOf(page, 0xc2, 0x49, 0x1a)) > 100, 'an ember line on light')
  await page.screenshot({ path: join(shots, 'light.png'), fullPage: true })
  await page.emulateMedia({ colorScheme: 'dark' })
  const dark = String(await page.evaluate('getComputedStyle(document.body).backgroundColor'))
  t.ok(
    dark.match(/\d+/g)?.every(part => Number(part) < 40),
    `a dark page: ${dark}`,
  )
  await page.waitForTimeout(100)
  t.ok((await inkOf(page, 0xff, 0x82, 0x47)) > 100, 'a brighter ember line on dark')
  await page.screenshot({ path: join(shots, 'dark.png'), fullPage: true })
  t.same(errors, [])
})

t.test('the log tells each decision and opens to its numbers and outcome', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  for (let second = 0; second < 120; second++) tick(twoMinutes(second))
  const { page, errors } = await open(t, url)
  const entry = page.locator('#log li', { hasText: 'More load: 2 → 3' })
  await entry.waitFor()
  t.match(await entry.innerText(), /1 min ago\s+resnet\s+More load: 2 → 3\s+9\.4 requests\/s/)
  t.notOk(await entry.getByText('Queue room').isVisible())
  await entry.locator('summary').click()
  t.ok(await entry.getByText('Queue room').isVisible())
  t.ok(await entry.getByText('TorchServe accepted the change.').isVisible())
  tick(twoMinutes(121))
  await page.waitForTimeout(1_500)
  t.ok(await entry.getByText('Queue room').isVisible(), 'stays open through the next poll')
  const steady = page.locator('#log li', { hasText: 'Steady' }).first()
  t.match(await steady.innerText(), /for 1 min/, 'repetitions are folded')
  t.same(errors, [])
})

t.test(
  'the GPUs of a pod are shown with what is known of them, and go when no model uses them',
  async t => {
    const { url, tick, close } = await agent()
    t.teardown(close)
    const { page, errors } = await open(t, url)
    const section = page.locator('#gpus')
    tick({ pools: [{}] })
    await pool(page, 'resnet').waitFor()
    t.notOk(await section.isVisible())
    const gpu = {
      landing: ['GPU-1/9'],
      freeBytes: 2 * GIB,
      workerBytes: 1.8 * GIB,
      guessed: false,
      fits: 0,
      activity: null,
      cpuBusy: 0.5,
      source: 'nvidia_smi',
    } as const
    tick({ pools: [{ inputs: { gpu } }], gpus: slices, host: machine })
    await section.getByText('1g.10gb · instance 9 of NVIDIA H100').waitFor()
    t.equal(await section.locator('li').count(), 2)
    const text = await section.innerText()
    t.match(text, /7488 MiB of 9984 MiB used/)
    t.match(text, /activity not known · nvidia-smi, \d+ s ago/)
    t.match(text, /memory not known/, 'unknown is not zero')
    t.match(text, /shared \(time-slicing\)/)
    t.match(text, /CPUs 50 % busy, 12\.0 GiB of 24\.0 GiB memory available/)
    const widths = await section
      .locator('.bar span')
      .evaluateAll(bars => bars.map(bar => Reflect.get(Reflect.get(bar, 'style'), 'width')))
    t.equal(widths[0], '75%')
    t.match(
      await pool(page, 'resnet').locator('.numbers').first().innerText(),
      /GPU per worker\s+1843 MiB/,
    )
    await page.screenshot({ path: join(shots, 'gpus.png'), fullPage: true })
    tick({ pools: [{ inputs: { gpu } }], gpus: { state: 'absent', why: 'nvidia-smi hangs.' } })
    await section.getByText('Nothing is known of them: nvidia-smi hangs.').waitFor()
    t.equal(await section.locator('li').count(), 0)
    tick({ pools: [{}] })
    await section.waitFor({ state: 'hidden' })
    t.same(errors, [])
  },
)

t.test('a new reason is read out, its changing numbers are not', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  tick({ pools: [{ because: 'Load is 1.' }] })
  const { page } = await open(t, url)
  const announced = page.locator('[aria-live=polite]')
  await announced.getByText('resnet: Load is 1.').waitFor({ state: 'attached' })
  tick({ pools: [{ because: 'Load is 2.' }] })
  await pool(page, 'resnet').getByText('Load is 2.').waitFor()
  t.equal(await announced.textContent(), 'resnet: Load is 1.')
  tick({ pools: [{ reason: 'at_maximum', because: 'Load is 9.' }] })
  await announced.getByText('resnet: Load is 9.').waitFor({ state: 'attached' })
})

t.test('on a phone nothing is cut off or needs to be scrolled sideways', async t => {
  const { url, tick, close } = await agent(0, 'advise')
  t.teardown(close)
  for (let second = 0; second < 120; second++) tick(twoMinutes(second))
  tick({
    ...twoMinutes(120),
    pools: [{ inputs: { ready: 60, maximum: 128, listed: 61 } }, stateful],
    notes: [
      { code: 'KEY_FILE_UNREADABLE', message: `/${'a'.repeat(120)}/key_file.json cannot be read.` },
    ],
  })
  const { page, errors } = await open(t, url, {
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
  })
  await page.getByText('ADVISING ONLY', { exact: true }).waitFor()
  await page.locator('summary').first().click()
  const widths = await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')
  t.same(widths, [390, 390])
  await page.screenshot({ path: join(shots, 'phone.png'), fullPage: true })
  t.same(errors, [])
})

t.test('through a restart of the agent the page says so, keeps its lines and goes on', async t => {
  const first = await agent()
  for (let second = 0; second < 120; second++) first.tick(twoMinutes(second))
  const { page } = await open(t, first.url)
  await pool(page, 'resnet').waitFor()
  await first.close()
  await page.getByText('Agent not answering, trying again').waitFor()
  const second = await agent(Number(new URL(first.url).port), 'act', START_MS + 130_000)
  t.teardown(second.close)
  await page.getByText('AGENT RESTARTED').waitFor()
  t.ok(await pool(page, 'resnet').isVisible(), 'the card outlives the first moment')
  second.tick({ pools: [{ because: 'Here again.' }] })
  await page.getByText('Here again.').first().waitFor()
  const label = await pool(page, 'resnet').locator('.plot').first().getAttribute('aria-label')
  t.match(label, /over the last 2 min|over the last 1\d\d s/)
  t.equal(await page.locator('#log li').count(), 1, 'the log is the new agent’s')
})

t.test('an agent whose loop hangs does not look alive', async t => {
  const { url, time, tick, close } = await agent()
  t.teardown(close)
  tick({ pools: [{}] })
  const { page } = await open(t, url)
  await page.getByText('Live', { exact: true }).waitFor()
  time.ms += 30_000
  await page.getByText('No tick for 30 s').waitFor()
})

t.test('a page that nobody looks at asks for nothing', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  tick({ pools: [{}] })
  const { page } = await open(t, url)
  await pool(page, 'resnet').waitFor()
  const look = (hidden: boolean) =>
    page.evaluate(`
      Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    `)
  await look(true)
  let asked = 0
  page.on('request', () => asked++)
  await page.waitForTimeout(2_500)
  t.equal(asked, 0)
  tick({ pools: [{ because: 'Seen again.' }] })
  await look(false)
  await page.getByText('Seen again.').first().waitFor()
})
