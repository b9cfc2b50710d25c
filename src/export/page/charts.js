// @ts-check
/** Charts of the last quarter of an hour. */

import { copy, find, make, say } from './dom.js'
import { HEIGHT, onRecolour, optionsOf } from './plot.js'
import { clockTime, duration } from './words.js'

/**
 * @typedef {readonly [atMs: number, ...values: (number | null)[]]} Row what was at one tick
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {string} colour its name in page.css
 * @property {number} column of a Row
 * @property {(value: number | null) => string} show
 * @property {'left' | 'right'} [scale]
 * @property {number[]} [dash]
 * @property {boolean} [fill]
 * @property {boolean} [thin]
 * @property {boolean} [quietAtZero] not drawn along zero
 *
 * @typedef {object} Chart
 * @property {string} title
 * @property {Line[]} lines the last is drawn on top
 * @property {boolean} [stepped] it changes at once
 * @property {number[]} [steps] of the left axis
 * @property {(rows: readonly Row[]) => number} [top] of the left axis; a little above all lines
 * @property {(value: number) => string} left how the left axis is labelled
 * @property {(value: number) => string} [right]
 */

/**
 * @param {HTMLElement} container
 * @param {readonly Chart[]} charts
 * @param {string} id charts of the same id share their cursor
 * @returns {{ draw(rows: readonly Row[]): void, remove(): void }}
 */
export function createCharts(container, charts, id) {
  const drawn = charts.map(chart => createChart(container, chart, id))
  /** @type {readonly Row[]} */
  let latest = []
  let visible = true
  const draw = () => {
    if (visible && latest.length > 0) for (const one of drawn) one.draw(latest)
  }
  // Charts out of sight are not drawn again, which is what lets a page have many pools.
  const sight = new IntersectionObserver(entries => {
    visible = entries.at(-1)?.isIntersecting ?? false
    draw()
  })
  sight.observe(container)
  const forget = onRecolour(() => drawn.forEach(one => one.redraw()))
  return {
    draw(rows) {
      latest = rows
      draw()
    },
    remove() {
      sight.disconnect()
      forget()
      for (const one of drawn) one.remove()
    },
  }
}

/** @param {HTMLElement} container @param {Chart} chart @param {string} id */
function createChart(container, chart, id) {
  const figure = container.appendChild(copy('chart'))
  const caption = find(figure, 'figcaption')
  const values = chart.lines.map(line => legendItem(find(figure, '.legend'), line))
  const box = find(figure, '.plot')
  /** @type {readonly Row[]} */
  let rows = []
  let top = 1
  const plot = new uPlot(
    optionsOf(chart, id, chart.top && (() => top), sayValues),
    emptyData(chart),
    box,
  )

  function sayValues() {
    const pointed = rows[plot?.cursor.idx ?? -1]
    const at = pointed ?? rows.at(-1)
    say(caption, pointed ? `${chart.title} at ${clockTime(pointed[0])}` : chart.title)
    chart.lines.forEach((line, index) => {
      const value = values[index]
      if (value) say(value, line.show(at?.[line.column] ?? null))
      const item = value?.parentElement
      if (item) item.hidden = line.quietAtZero === true && rows.every(row => !row[line.column])
    })
  }

  const resize = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: HEIGHT }))
  resize.observe(box)
  return {
    /** @param {readonly Row[]} latest */
    draw(latest) {
      rows = latest
      top = chart.top?.(rows) ?? top
      plot.setData([
        rows.map(([atMs]) => atMs / 1_000),
        ...chart.lines.map(line => columnOf(rows, line)),
      ])
      sayValues()
      box.setAttribute('aria-label', spoken(chart, rows))
    },
    redraw: () => plot.redraw(false, true),
    remove() {
      resize.disconnect()
      plot.destroy()
    },
  }
}

/** @param {Chart} chart @returns {[number[], ...number[][]]} */
const emptyData = chart => [[], ...chart.lines.map(() => [])]

/** @param {HTMLElement} legend @param {Line} line */
function legendItem(legend, line) {
  const item = legend.appendChild(document.createElement('li'))
  const value = make('b', '')
  const swatch = make('i', '')
  swatch.dataset['line'] = line.colour
  item.append(swatch, make('span', line.name), value)
  return value
}

/** @param {readonly Row[]} rows @param {Line} line */
function columnOf(rows, { column, quietAtZero }) {
  const values = rows.map(row => row[column] ?? null)
  if (!quietAtZero) return values
  return values.map((value, index) =>
    value === 0 && !values[index - 1] && !values[index + 1] ? null : value,
  )
}

/** @param {Chart} chart @param {readonly Row[]} rows */
function spoken(chart, rows) {
  const last = rows.at(-1)
  const span = duration((last?.[0] ?? 0) - (rows[0]?.[0] ?? 0))
  const now = chart.lines.map(
    ({ name, column, show }) => `${name.toLowerCase()} ${show(last?.[column] ?? null)}`,
  )
  return `${chart.title} over the last ${span}; now ${now.join(', ')}.`
}
