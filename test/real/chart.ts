/** What was seen over some seconds as an SVG: panels below each other, with lines that hold each value until the next. */
const WIDTH = 960
const LEFT = 64
const RIGHT = 16
const TOP = 24
/** For a panel's legend. */
const GAP = 32
const BOTTOM = 32
const GRID = 4
const ABOVE = 1.05

export interface Line {
  name: string
  colour: string
  dash?: string
  /** In order. NaN: it was not seen then, and nothing is drawn. */
  points: readonly { atMs: number; value: number }[]
  /** It has a scale of its own, up to a multiple of this; the panel's without it. */
  ownStep?: number
}

interface Panel {
  /** In pixels. */
  height: number
  /** The scale ends at a multiple of it. */
  step: number
  /** A value of the scale as text. */
  show(value: number): string
  lines: readonly Line[]
}

interface Chart {
  caption?: string
  panels: readonly Panel[]
  /** Dotted over all panels; a text is shown where the pointer rests, or for all to see. */
  marks: readonly { atMs: number; text: string; colour?: string; isShown?: boolean }[]
}

export function chart({ caption = '', panels, marks }: Chart): string {
  const instants = panels.flatMap(({ lines }) =>
    lines.flatMap(({ points }) => points.map(({ atMs }) => atMs)),
  )
  const startMs = Math.min(...instants)
  const seconds = (Math.max(...instants) - startMs) / 1000
  const x = (atMs: number) => LEFT + ((atMs - startMs) / 1000 / seconds) * (WIDTH - LEFT - RIGHT)
  let bottom = caption === '' ? 0 : TOP
  const placed = panels.map(panel => {
    const top = bottom + GAP
    bottom = top + panel.height
    return { ...panel, top }
  })
  const first = placed[0]?.top ?? 0
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + BOTTOM}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${bottom + BOTTOM}" fill="#fff"/>`,
    `<text x="${LEFT}" y="18" fill="#555">${caption}</text>`,
    ...marks.map(
      ({ atMs, text, colour = '#888', isShown = false }) =>
        `<path d="M${x(atMs).toFixed(1)} ${first}V${bottom}" stroke="${colour}" stroke-dasharray="1 3"><title>${text}</title></path>` +
        (isShown ? `<text x="${x(atMs) + 4}" y="${first + 12}" fill="#555">${text}</text>` : ''),
    ),
    ...placed.flatMap(panel => drawn(panel, x)),
    ...times(seconds, at => x(startMs + at * 1000), bottom + 20),
    '</svg>\n',
  ].join('\n')
}

function drawn(panel: Panel & { top: number }, x: (atMs: number) => number): string[] {
  const { top, height, step, show, lines } = panel
  const most = ceiling(highest(lines.filter(({ ownStep }) => ownStep === undefined)), step)
  const scaled = lines.map(line => ({
    ...line,
    most: line.ownStep === undefined ? most : ceiling(highest([line]), line.ownStep),
  }))
  const names = scaled.map(({ name, ownStep, most: own, colour }) => ({
    name: ownStep === undefined ? name : `${name} (of ${own})`,
    colour,
  }))
  return [
    legend(names, top - 14),
    grid(panel, value => show(most * value)),
    ...scaled.map(line => path(line, x, value => top + height * (1 - value / line.most))),
  ]
}

const highest = (lines: readonly Line[]) =>
  Math.max(...lines.flatMap(({ points }) => points.map(({ value }) => value || 0)))

const ceiling = (value: number, step: number) => Math.ceil((value * ABOVE) / step) * step

function legend(names: readonly Pick<Line, 'name' | 'colour'>[], y: number): string {
  let x = LEFT
  const items = names.map(({ name, colour }) => {
    const item = `<rect x="${x}" y="${y - 8}" width="12" height="8" fill="${colour}"/><text x="${x + 17}" y="${y}">${name}</text>`
    x += 40 + name.length * 6.5
    return item
  })
  return items.join('')
}

/** `show`: of a part of the whole scale. */
function grid({ top, height }: { top: number; height: number }, show: (part: number) => string) {
  return Array.from({ length: GRID + 1 }, (_, index) => {
    const y = top + (height * index) / GRID
    return `<path d="M${LEFT} ${y}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${y + 4}" text-anchor="end" fill="#555">${show(1 - index / GRID)}</text>`
  }).join('')
}

/** Each value holds until the next: what is drawn was seen. */
function path(
  { points, colour, dash }: Line,
  x: (atMs: number) => number,
  y: (value: number) => number,
): string {
  let d = ''
  let before = NaN
  for (const { atMs, value } of points) {
    const [right, down] = [x(atMs).toFixed(1), y(value).toFixed(1)]
    if (Number.isNaN(before)) d += Number.isNaN(value) ? '' : `M${right} ${down}`
    else if (Number.isNaN(value)) d += `H${right}`
    else if (value !== before) d += `H${right}V${down}`
    before = value
  }
  if (!Number.isNaN(before)) d += `H${WIDTH - RIGHT}`
  const dashed = dash === undefined ? '' : ` stroke-dasharray="${dash}"`
  return `<path d="${d}" fill="none" stroke="${colour}" stroke-width="1.5"${dashed}/>`
}

function times(seconds: number, x: (second: number) => number, y: number): string[] {
  const step = 10 * Math.max(1, Math.round(seconds / 100))
  const all = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => index * step)
  return all.map(
    second =>
      `<text x="${x(second).toFixed(1)}" y="${y}" text-anchor="middle" fill="#555">${second} s</text>`,
  )
}
