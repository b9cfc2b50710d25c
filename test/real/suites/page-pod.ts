/** Goal: the page shows what the pod has, its memory and its GPUs, and nothing where nothing is known. */
import { join } from 'node:path'
import t from 'tap'
import { GIB, machine, slices } from '../../export/gpus.ts'
import { MIB } from '../../export/ticks.ts'
import { agent, inkOf, memoryAt, open, pixels, pool, shots, twoMinutes } from '../page.ts'

t.setTimeout(120_000)

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
    t.match(text, /7\.3 GiB of 9\.8 GiB used/)
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
      /GPU per worker\s+1\.8 GiB/,
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

t.test('the pod’s memory has a card, lines and entries in the log, or is not there', async t => {
  const { url, tick, close } = await agent()
  t.teardown(close)
  const { page, errors } = await open(t, url)
  tick({ pools: [{}] })
  await pool(page, 'resnet').waitFor()
  t.equal(await page.locator('.memory').count(), 0, 'nothing is known of it')
  for (let second = 0; second < 120; second++) tick({ ...twoMinutes(second), ...memoryAt(second) })
  const card = page.locator('.memory')
  await card.getByText('The workers need 600 MiB.').waitFor()
  const above = await page.evaluate(
    `document.querySelector('.memory').compareDocumentPosition(document.querySelector('#pools')) === 4`,
  )
  t.ok(above, 'above the models')
  t.match(await card.locator('.numbers').innerText(), /Requested\s+1280 MiB[\s\S]*Cap\s+4096 MiB/)
  const label = await card.locator('.plot').first().getAttribute('aria-label')
  t.match(label, /Memory over the last .*; now in use 1130 MiB, granted 1280 MiB, requested/)
  t.match(await card.locator('.plot').nth(1).getAttribute('aria-label'), /now pods 1\.30/)
  const entry = page.locator('#log li', { hasText: 'Raising: 1280 MiB → 1610 MiB' })
  await entry.locator('summary').click()
  t.ok(await entry.getByText('The API server accepted it').isVisible())
  t.ok(await entry.getByText('Without caches').isVisible())
  const before = await pixels(page, 0)
  tick({ memory: { inputs: { usage: 3_000 * MIB } } })
  await card.getByText('3000 MiB').first().waitFor()
  t.not(await pixels(page, 0), before, 'the chart moved')
  t.ok((await inkOf(page, 0xc2, 0x49, 0x1a)) > 100, 'the load in pods is drawn')
  await page.screenshot({ path: join(shots, 'memory.png'), fullPage: true })
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.waitForTimeout(100)
  t.ok((await inkOf(page, 0xff, 0x82, 0x47)) > 100, 'in the colours of the scheme')
  await page.screenshot({ path: join(shots, 'memory-dark.png'), fullPage: true })
  tick({})
  await card.waitFor({ state: 'detached' })
  t.same(errors, [])
})
