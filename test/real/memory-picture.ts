/** A recorded run as an SVG: memory above, load and workers below, over the same seconds. */
import { needOf, type Sample } from './memory-record.ts'

const WIDTH = 960
const LEFT = 64
const RIGHT = 16
const PANELS = { memory: { top: 56, height: 260 }, workers: { top: 376, height: 130 } }
const HEIGHT = 556
const GRID = 4

interface Line {
  name: string
  colour: string
  value(sample: Sample): number
  dash?: string
}

const memoryLines: readonly Line[] = [
  { name: 'limit, as the cgroup has it', colour: '#c2491a', value: ({ enforced }) => enforced },
  { name: 'request', colour: '#1b6fb3', value: ({ request }) => request },
  { name: 'what the workers need', colour: '#7a5aa8', value: needOf, dash: '4 3' },
  { name: 'in use', colour: '#4a8f3c', value: ({ usage }) => usage },
]

interface Load {
  atMs: number
  rps: number
}

interface Mark {
  atMs: number
  kind: string
}

interface Run {
  samples: readonly Sample[]
  /** The rate from each time on. */
  loads: readonly Load[]
  /** What the agent decided to change. */
  marks: readonly Mark[]
}

export function draw({ samples, loads, marks }: Run): string {
  const startMs = samples[0]?.atMs ?? 0
  const seconds = ((samples.at(-1)?.atMs ?? startMs) - startMs) / 1000
  const x = (atMs: number) => LEFT + ((atMs - startMs) / 1000 / seconds) * (WIDTH - LEFT - RIGHT)
  const loadAt = (sample: Sample) => loads.findLast(({ atMs }) => atMs <= sample.atMs)?.rps ?? 0
  const mostMib = ceiling(Math.max(...samples.map(({ enforced }) => enforced || 0)), 400)
  const mostRps = ceiling(Math.max(...loads.map(({ rps }) => rps)), 10)
  const mostWorkers = ceiling(Math.max(...samples.map(({ workers }) => workers)), GRID)
  const { memory, workers } = PANELS
  const panel = (of: typeof memory, most: number) => (value: number) =>
    of.top + of.height * (1 - value / most)
  const rateLine = { name: 'requests a second', colour: '#8a8a8a', value: loadAt }
  const workerLine = { name: 'workers', colour: '#1b6fb3', value: (each: Sample) => each.workers }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="18" fill="#555">Dotted: the agent decides to raise or to lower the memory, to grow or to shrink the workers</text>`,
    ...marks.map(({ atMs, kind }) => mark(x(atMs), kind)),
    legend(memoryLines, memory.top - 14),
    grid(memory, mostMib, value => `${value} MiB`),
    ...memoryLines.map(line => path(samples, line, x, panel(memory, mostMib))),
    legend(
      [
        { ...workerLine, name: `workers (of ${mostWorkers})` },
        { ...rateLine, name: `requests a second (of ${mostRps})` },
      ],
      workers.top - 14,
    ),
    grid(workers, mostWorkers, String),
    path(samples, rateLine, x, panel(workers, mostRps)),
    path(samples, workerLine, x, panel(workers, mostWorkers)),
    ...times(seconds, x, startMs),
    '</svg>\n',
  ].join('\n')
}

const COLOURS: Readonly<Record<string, string>> = { raise: '#c2491a', lower: '#c2491a' }

function mark(x: number, kind: string): string {
  const { top } = PANELS.memory
  const bottom = PANELS.workers.top + PANELS.workers.height
  const colour = COLOURS[kind] ?? '#1b6fb3'
  const right = x.toFixed(1)
  return `<path d="M${right} ${top}V${bottom}" stroke="${colour}" stroke-dasharray="1 3"><title>${kind}</title></path>`
}

const ceiling = (value: number, step: number) => Math.ceil((value * 1.05) / step) * step

function legend(lines: readonly Pick<Line, 'name' | 'colour'>[], y: number): string {
  let x = LEFT
  const items = lines.map(({ name, colour }) => {
    const item = `<rect x="${x}" y="${y - 8}" width="12" height="8" fill="${colour}"/><text x="${x + 17}" y="${y}">${name}</text>`
    x += 40 + name.length * 6.5
    return item
  })
  return items.join('')
}

function grid(
  { top, height }: typeof PANELS.memory,
  most: number,
  show: (value: number) => string,
) {
  return Array.from({ length: GRID + 1 }, (_, index) => {
    const y = top + (height * index) / GRID
    const value = show(most * (1 - index / GRID))
    return `<path d="M${LEFT} ${y}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${y + 4}" text-anchor="end" fill="#555">${value}</text>`
  }).join('')
}

/** Each value holds until the next: what is drawn was seen. */
function path(
  samples: readonly Sample[],
  { colour, value, dash }: Line,
  x: (atMs: number) => number,
  y: (value: number) => number,
): string {
  let d = ''
  let before = NaN
  for (const sample of samples) {
    const now = value(sample)
    if (Number.isNaN(now) || now === before) continue
    const [right, down] = [x(sample.atMs).toFixed(1), y(now).toFixed(1)]
    d += d === '' ? `M${right} ${down}` : `H${right}V${down}`
    before = now
  }
  const dashed = dash ? ` stroke-dasharray="${dash}"` : ''
  return `<path d="${d}H${WIDTH - RIGHT}" fill="none" stroke="${colour}" stroke-width="1.5"${dashed}/>`
}

function times(seconds: number, x: (atMs: number) => number, startMs: number): string[] {
  const step = 10 * Math.max(1, Math.round(seconds / 100))
  const all = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => index * step)
  const y = PANELS.workers.top + PANELS.workers.height + 20
  return all.map(
    second =>
      `<text x="${x(startMs + second * 1000).toFixed(1)}" y="${y}" text-anchor="middle" fill="#555">${second} s</text>`,
  )
}
