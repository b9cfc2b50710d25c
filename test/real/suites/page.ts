/** Goal: a person who opens the page sees what the agent does, on any screen, in either scheme, and through a restart. */
import { join } from 'node:path'
import t from 'tap'
import {
  agent,
  inkOf,
  memoryAt,
  open,
  pixels,
  pool,
  shots,
  START_MS,
  stateful,
  twoMinutes,
} from '../page.ts'

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
  for (let second = 0; second < 120; second++) tick({ ...twoMinutes(second), ...memoryAt(second) })
  tick({
    ...twoMinutes(120),
    ...memoryAt(120),
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
