import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

export interface Asset {
  path: string
  type: string
  etag: string
  body: Buffer
}

const script = 'text/javascript; charset=utf-8'
const style = 'text/css; charset=utf-8'

const own = (file: string) => new URL(`page/${file}`, import.meta.url)
const chart = (file: string) => new URL(import.meta.resolve(`uplot/dist/${file}`))

const files = [
  { path: '/', type: 'text/html; charset=utf-8', file: own('index.html') },
  ...['page', 'pool', 'gpus', 'memory', 'log'].map(name => ({
    path: `/${name}.css`,
    type: style,
    file: own(`${name}.css`),
  })),
  { path: '/icon.svg', type: 'image/svg+xml', file: own('icon.svg') },
  ...[
    'page',
    'overview',
    'memory',
    'card',
    'charts',
    'pool-charts',
    'plot',
    'rows',
    'workers',
    'gpus',
    'log',
    'words',
    'dom',
  ].map(name => ({
    path: `/${name}.js`,
    type: script,
    file: own(`${name}.js`),
  })),
  { path: '/uplot.js', type: script, file: chart('uPlot.iife.min.js') },
  { path: '/uplot.css', type: style, file: chart('uPlot.min.css') },
]

/** The page and what it loads, read once: a request touches no file. */
export function loadAssets(): Promise<Asset[]> {
  return Promise.all(
    files.map(async ({ path, type, file }) => {
      const body = await readFile(file)
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
      return { path, type, etag, body }
    }),
  )
}
