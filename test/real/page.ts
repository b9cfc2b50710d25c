/** The served page in Debian's Chromium, with ticks scripted by hand. Screenshots go to a folder that is printed. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { createExport } from '../../src/export/server.ts'
import type { Tick } from '../../src/export/tick.ts'
import {
  actionOf,
  MIB,
  resizeOf,
  tickOf,
  type PoolSketch,
  type TickSketch,
} from '../export/ticks.ts'

const executablePath = '/usr/bin/chromium'
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
export const START_MS = Date.UTC(2026, 2, 4, 10)

if (!existsSync(executablePath))
  throw new Error(`${executablePath} is not there; on Debian: apt-get install chromium`)
export const shots = mkdtempSync(join(tmpdir(), 'stoker-page-'))
t.comment(`screenshots in ${shots}`)
const browser: Browser = await chromium.launch({ executablePath, args: flags.split(' ') })
t.teardown(async () => {
  await browser.close()
  if (t.passing() && process.env['CI']) rmSync(shots, { recursive: true })
})

/** The served export with a clock that moves one second a tick. */
export async function agent(port = 0, mode: 'act' | 'advise' = 'act', startMs = START_MS) {
  const time = { ms: startMs }
  const clock = { now: () => time.ms, sleep: async () => {} }
  const config = { mode, tickMs: 1_000, drainMs: 25_000, listenHost: '127.0.0.1', listenPort: port }
  const shown = createExport({ config, clock, version: '1.2.3' })
  const url = await shown.listen()
  const tick = (sketch: Omit<TickSketch, 'atMs'>) => {
    time.ms += 1_000
    const made: Tick = tickOf({ atMs: time.ms, ...sketch })
    shown.record(made)
  }
  return { url, time, tick, close: () => shown.close() }
}

export async function open(t: Test, url: string, options: BrowserContextOptions = {}) {
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
export function twoMinutes(second: number): Omit<TickSketch, 'atMs'> {
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

export const stateful: PoolSketch = {
  model: 'a_rather_long_model_name_that_somebody_chose_for_speech_recognition',
  reason: 'refused',
  because: 'Workers of this model are left alone: its sequences are tied to their worker.',
  inputs: { ready: 1, loading: 0, listed: 1, needed: null, held: null, serviceMs: null },
}

export const pool = (page: Page, name: string) =>
  page.locator('.pool', { has: page.locator('.model', { hasText: name }) })
/** Code for the page goes as text, for it sees another world than this file's types. */
export const pixels = (page: Page, index: number) =>
  page.evaluate<unknown>(`document.querySelectorAll('canvas')[${index}].toDataURL()`)

/** How many pixels of the second chart have this colour, nearly. */
export async function inkOf(
  page: Page,
  ...colour: readonly [red: number, green: number, blue: number]
) {
  const count = await page.evaluate<unknown>(`{
    const canvas = document.querySelectorAll('canvas')[1]
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const near = at => [${colour.join()}].every((part, channel) => Math.abs(data[at + channel] - part) < 12)
    data.filter((_, at) => at % 4 === 0 && near(at)).length
  }`)
  return Number(count)
}

/** Memory that is raised before the worker of the two minutes comes, is refused once, and falls. */
export function memoryAt(second: number): Pick<TickSketch, 'memory' | 'resized' | 'podDemand'> {
  const amounts = (mib: number) => ({ requestBytes: mib * MIB, limitBytes: (mib + 512) * MIB })
  const requested = second < 45 ? 1_280 : second < 90 ? 1_610 : 1_280
  const inputs = {
    desired: amounts(requested),
    actual: amounts(requested),
    granted: (second < 46 ? 1_280 : second < 91 ? 1_610 : 1_280) * MIB,
    usage: (second < 50 ? 1_130 : second < 88 ? 1_430 : 1_130) * MIB,
    wanted: (second < 44 ? 1_280 : second < 90 ? 1_610 : 1_280) * MIB,
    cap: 4_096 * MIB,
  }
  const podDemand = second < 70 ? 0.4 + second / 400 : 1.3
  const raise = resizeOf(1_280, 1_610)
  if (second === 44) {
    const memory = {
      reason: 'more_workers',
      because: 'They need 1610 MiB.',
      action: raise,
    } as const
    return { podDemand, memory: { ...memory, inputs } }
  }
  const resized = { kind: 'accepted', action: raise, atMs: START_MS } as const
  return { podDemand, memory: { inputs }, ...(second === 45 ? { resized } : {}) }
}
