/**
 * Draws a dashboard as a picture, with Grafana's component libraries (Apache-2.0) in Debian's Chromium: no Grafana runs here. The
 * libraries are those of package-lock.json beside this file, installed into the cache folder on first use: 350 packages, 460 MB.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { chromium } from 'playwright-core'
import type { Dashboard } from '../../dashboards.ts'
import { MissingTool } from '../missing.ts'

const run = promisify(execFile)

const HERE = import.meta.dirname
const INSTALL_MS = 10 * 60_000
const BUNDLE_MS = 2 * 60_000
const DRAW_MS = 60_000
const CHROMIUM = '/usr/bin/chromium'
const WIDTH = 1600
const PAGE = '<!doctype html><html lang="en"><body></body></html>'
const flags = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking']

export interface Drawn {
  dashboard: Dashboard
  prometheusUrl: string
  fromMs: number
  toMs: number
  scrapeMs: number
}

/** Writes the picture to `path`; the titles of the panels without data. Throws MissingTool, or Error with what went wrong. */
export async function draw(drawn: Drawn, path: string): Promise<string[]> {
  if (!existsSync(CHROMIUM))
    throw new MissingTool(
      `${CHROMIUM} is not there; on Debian: apt-get install chromium fonts-inter`,
    )
  const libraries = await installed()
  const { script, style } = await bundled(libraries)
  const images = join(libraries, 'node_modules/@grafana/ui/dist/public')
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: flags })
  try {
    const page = await browser.newPage({ viewport: { width: WIDTH, height: 900 } })
    page.setDefaultTimeout(DRAW_MS)
    const errors: string[] = []
    page.on('pageerror', error => errors.push(error.message))
    page.on('console', message => message.type() === 'error' && errors.push(message.text()))
    // As if Prometheus served the page, which may then ask it.
    const url = new URL('/dashboard', drawn.prometheusUrl).href
    await page.route(url, route => route.fulfill({ contentType: 'text/html', body: PAGE }))
    await page.route('**/public/build/**', (route, request) =>
      route.fulfill({
        path: join(images, new URL(request.url()).pathname.replace('/public/build', '')),
      }),
    )
    await page.goto(url)
    await page.addStyleTag({ content: style })
    await page.addScriptTag({ content: script })
    const empty = await page.evaluate<string[]>(`drawDashboard(${JSON.stringify(drawn)})`)
    await page.evaluate('document.fonts.ready')
    await page.waitForLoadState('networkidle')
    await page.screenshot({ path, fullPage: true })
    if (errors.length > 0) throw new Error(errors.join('\n'))
    return empty
  } finally {
    await browser.close()
  }
}

/** Built as if it lay among the libraries: the tree has another React, of the test runner. */
async function bundled(folder: string) {
  const output = join(folder, `panels.${process.pid}.js`)
  const options = [
    '--bundle',
    '--loader=jsx',
    '--jsx=automatic',
    '--loader:.ttf=empty',
    '--log-level=error',
    '--define:process.env.NODE_ENV="production"',
    `--alias:dashboard-queries=${join(HERE, '../../dashboard-queries.ts')}`,
    `--outfile=${output}`,
  ]
  const esbuild = join(folder, 'node_modules', '.bin', 'esbuild')
  const building = run(esbuild, options, { cwd: folder, timeout: BUNDLE_MS })
  building.child.stdin?.end(readFileSync(join(HERE, 'panels.jsx')))
  await building
  const files = [output, output.replace(/js$/, 'css')]
  const [script = '', style = ''] = await Promise.all(files.map(file => readFile(file, 'utf8')))
  await Promise.all(files.map(file => rm(file)))
  return { script, style }
}

/** The folder of the cache that has the libraries, installed now if they are not there. */
async function installed(): Promise<string> {
  const files = ['package.json', 'package-lock.json']
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(join(HERE, file)))
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'stoker')
  const folder = join(cache, `pictures-${hash.digest('hex').slice(0, 12)}`)
  if (existsSync(folder)) return folder
  // Under a name of its own until it is complete, so that a killed installation leaves nothing that looks installed.
  const unfinished = `${folder}.${process.pid}`
  try {
    await mkdir(unfinished, { recursive: true })
    for (const file of files) copyFileSync(join(HERE, file), join(unfinished, file))
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    await run('npm', ['ci', ...options], { cwd: unfinished, timeout: INSTALL_MS })
    await rename(unfinished, folder)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return folder
}
