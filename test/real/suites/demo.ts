/** `npm run demo` as a newcomer runs it, watched in a real browser. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import t from 'tap'
import { MAIN, openDemo } from '../demo.ts'
import { until } from '../until.ts'

t.setTimeout(300_000)

t.test('a step leads to more workers, and the page says why', async t => {
  const { end, page, printed, text } = await openDemo(t)
  t.ok(await until(async () => /\d ready/.test(await text()), 15_000), 'the workers are shown')
  t.notOk(await page.locator('#gpus').isVisible(), 'no GPUs where there are none')
  const chart = page.locator('canvas').first()
  const before = await chart.screenshot()
  // The step comes 15 s after the start.
  const grown = async () => /More load: \d → [4-8]/.test(await text())
  t.ok(await until(grown, 60_000), 'more workers are started')
  t.match(await text(), /requests\/s of \d+ ms.* need \d/, 'and the reason can be read')
  t.notSame(await chart.screenshot(), before, 'the chart has moved')
  t.match(
    printed(),
    /resnet: .* need \d so that 98 % wait less than \d+ ms: \d → \d/,
    'a line for each change',
  )
  await end()
})

t.test('--gpu mig shows the slices, and stops where the slice is full', async t => {
  const { end, page, text } = await openDemo(t, '--gpu', 'mig')
  const gpus = page.locator('#gpus')
  await gpus.locator('li').nth(2).waitFor({ timeout: 30_000 })
  const slices = await gpus.innerText()
  t.match(slices, /1g\.10gb · instance 9 of NVIDIA A100-SXM4-80GB/)
  t.match(slices, /2g\.20gb · instance 5/)
  t.match(slices, /12 MiB of 19\.5 GiB used/, 'a slice that nobody uses')
  t.match(slices, /activity not known · nvidia-smi/)
  t.ok(await until(async () => /GPU full/.test(await text()), 90_000), 'it says so')
  t.match(
    await text(),
    /Not done: \d\.\d GiB of GPU memory can be given out, and a worker takes 1\.\d GiB/,
  )
  // The gate counts workers that no reading shows yet.
  const filled = async () => /7\.3 GiB of 9\.6 GiB used/.test(await gpus.innerText())
  t.ok(await until(filled, 30_000), 'with the four workers that fit')
  await end()
})

t.test('--gpu a100 shows the card, its memory and its activity', async t => {
  const { end, page } = await openDemo(t, '--gpu', 'a100')
  const gpus = page.locator('#gpus')
  await gpus.getByText('NVIDIA A100-SXM4-80GB', { exact: true }).waitFor({ timeout: 30_000 })
  t.match(await gpus.innerText(), /\d [GM]iB of 80\.0 GiB used[\s\S]*\d % active · nvidia-smi/)
  const fuller = async () => /(?:[4-9]|1\d)\.\d GiB of 80\.0 GiB used/.test(await gpus.innerText())
  t.ok(await until(fuller, 90_000), 'it fills with the workers')
  await end()
})

t.test('a port that is taken ends it with the reason', async t => {
  const taken = createServer().listen(0)
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = Object(taken.address())
  const demo = spawn(process.execPath, [MAIN, 'demo', '--port', String(port)])
  t.teardown(() => demo.kill('SIGKILL'))
  const told = textOf(demo.stderr)
  const [code] = (await once(demo, 'exit')) as [number | null]
  t.equal(code, 1)
  t.match(await told, /LISTEN_FAILED/)
})
