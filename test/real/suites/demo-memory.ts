/** The demo’s pod: memory before workers, and refusals by the switch on its page, watched in a real browser. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { openDemo } from '../demo.ts'
import { until } from '../until.ts'

t.setTimeout(400_000)
const shots = mkdtempSync(join(tmpdir(), 'stoker-demo-'))
t.comment(`screenshots in ${shots}`)
t.teardown(() => {
  if (t.passing() && process.env['CI']) rmSync(shots, { recursive: true })
})

interface Told {
  reason: string
  atMs: number
  action: { kind: string; from: unknown; to: unknown } | null
}

async function decisions(page: Page) {
  const reply = await page.request.get(new URL('decisions', page.url()).href)
  const { decisions: workers, resizes } = (await reply.json()) as {
    decisions: (Told & { action: { from: number; to: number } | null })[]
    resizes: (Told & { action: { to: { requestBytes: number } } | null })[]
  }
  return { workers: workers.toReversed(), resizes: resizes.toReversed() }
}

async function metric(page: Page, name: string): Promise<number> {
  const text = await (await page.request.get(new URL('metrics', page.url()).href)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

const memory = (page: Page) => page.locator('.memory')
const entry = (page: Page, text: RegExp) => page.locator('#log li', { hasText: text })

t.test('memory rises before the workers, and falls after them', async t => {
  const { end, page, printed } = await openDemo(t)
  await memory(page).waitFor({ timeout: 30_000 })
  t.match(await memory(page).locator('.numbers').innerText(), /Cap\s+6144 MiB/)
  await entry(page, /memory\s+Raising: \d+ MiB → \d+ MiB/)
    .first()
    .waitFor({ timeout: 60_000 })
  await entry(page, /resnet\s+More load: \d → [4-8]/)
    .first()
    .waitFor({ timeout: 60_000 })
  const { resizes, workers } = await decisions(page)
  const growths = workers.filter(({ action }) => action?.kind === 'grow')
  const confirmed = (ms: number) =>
    resizes.findLast(({ action, atMs }) => action?.kind === 'raise' && atMs <= ms)
  for (const { action, atMs } of growths)
    t.ok(confirmed(atMs), `memory was asked for before ${action?.from} → ${action?.to}`)
  const held = await metric(page, 'stoker_memory_used_bytes')
  const granted = await metric(page, 'stoker_memory_granted_bytes')
  t.ok(held < granted, `${held} in use of ${granted}`)
  t.ok((await metric(page, 'stoker_worker_bytes{model="resnet",version="1.0"}')) === 300 * 2 ** 20)
  await page.screenshot({ path: join(shots, 'rise.png'), fullPage: true })

  // The oldest: newer ones come above it.
  const fallen = entry(page, /memory\s+Lowering: \d+ MiB → \d+ MiB/).last()
  await fallen.waitFor({ timeout: 150_000 })
  t.match(printed(), /\w+: a worker is gone[\s\S]*memory: The workers there need \d+ MiB: /)
  await fallen.locator('summary').click()
  await fallen.getByText('The API server accepted it').waitFor({ timeout: 10_000 })
  await page.screenshot({ path: join(shots, 'fall.png'), fullPage: true })
  await end()
})

for (const [label, why] of [
  ['Node full', /the kubelet says Deferred: Node didn't have enough resource: memory/],
  ['Node too small', /the kubelet says Infeasible: Node didn't have enough capacity: memory/],
  ['Quota used up', /exceeded quota: team-quota/],
] as const) {
  t.test(`${label}: the refusal is explained, and the load goes to pods`, async t => {
    const { end, page, printed } = await openDemo(t)
    await page.getByLabel(label).check()
    const explained = async () => why.test(await page.locator('#log').innerText())
    t.ok(await until(explained, 90_000, 500), 'in the log')
    const held = page.locator('.pool', { hasText: 'No more memory' })
    await held.first().waitFor({ timeout: 60_000 })
    t.match(await held.first().locator('.because').innerText(), why, 'and at the model')
    t.match(printed(), why, 'and in the terminal')
    const rises = async () => (await metric(page, 'stoker_pod_demand')) > 1
    t.ok(await until(rises, 60_000, 500), 'more than this pod can take')
    t.ok((await metric(page, 'stoker_workers_usable{model="resnet",version="1.0"}')) < 8)
    await page.screenshot({ path: join(shots, `${label}.png`), fullPage: true })
    await end()
  })
}
