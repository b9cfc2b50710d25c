// @ts-check
/** The three charts of a pool over the last quarter of an hour. */

import { copy, find, make, say } from './dom.js'
import { HEIGHT, onRecolour, optionsOf } from './plot.js'
import { clockTime, duration, number } from './words.js'

/**
 * @import { Point } from '../history.ts'
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {string} colour its name in page.css
 * @property {number} column of a Point
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
 * @property {boolean} [stepped] whole numbers that change at once
 * @property {(value: number) => string} left how the left axis is labelled
 * @property {(value: number) => string} [right]
 */

/** @param {number | null} value */
const perSecond = value => number(value, '/s')
/** @param {number | null} value */
const plain = value => number(value)

/** @type {Chart[]} */
const charts = [
  {
    title: 'Load',
    left: plain,
    right: plain,
    lines: [
      { name: 'Arrivals', colour: 'arrivals', column: 1, show: perSecond, fill: true },
      { name: 'Waiting', colour: 'waiting', column: 2, show: plain, scale: 'right', thin: true },
    ],
  },
  {
    title: 'Workers',
    stepped: true,
    left: plain,
    lines: [
      { name: 'Ready', colour: 'ready', column: 3, show: plain, fill: true },
      {
        name: 'Loading',
        colour: 'loading',
        column: 4,
        show: plain,
        dash: [6, 3],
        quietAtZero: true,
      },
      { name: 'Dead', colour: 'dead', column: 5, show: plain, quietAtZero: true },
      { name: 'Wanted', colour: 'wanted', column: 6, show: plain, dash: [2, 3], thin: true },
      { name: 'Limit', colour: 'limit', column: 7, show: plain, dash: [10, 5], thin: true },
    ],
  },
  {
    title: 'Service time',
    left: duration,
    lines: [{ name: 'One request', colour: 'service', column: 8, show: duration, fill: true }],
  },
]

/**
 * @param {HTMLElement} container
 * @param {string} id charts of the same id share their cursor
 * @returns {{ draw(points: readonly Point[]): void, remove(): void }}
 */
export function createCharts(container, id) {
  const drawn = charts.map(chart => createChart(container, chart, id))
  /** @type {readonly Point[]} */
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
    draw(points) {
      latest = points
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
  /** @type {readonly Point[]} */
  let points = []
  let top = 2
  const plot = new uPlot(
    optionsOf(chart, id, () => top, sayValues),
    emptyData(chart),
    box,
  )

  function sayValues() {
    const pointed = points[plot?.cursor.idx ?? -1]
    const at = pointed ?? points.at(-1)
    say(caption, pointed ? `${chart.title} at ${clockTime(pointed[0])}` : chart.title)
    chart.lines.forEach((line, index) => {
      const value = values[index]
      if (value) say(value, line.show(at?.[line.column] ?? null))
      const item = value?.parentElement
      if (item)
        item.hidden = line.quietAtZero === true && points.every(point => !point[line.column])
    })
  }

  const resize = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: HEIGHT }))
  resize.observe(box)
  return {
    /** @param {readonly Point[]} latest */
    draw(latest) {
      points = latest
      top = topOf(points)
      plot.setData([
        points.map(([atMs]) => atMs / 1_000),
        ...chart.lines.map(line => columnOf(points, line)),
      ])
      sayValues()
      box.setAttribute('aria-label', spoken(chart, points))
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

/** @param {readonly Point[]} points @param {Line} line */
function columnOf(points, { column, quietAtZero }) {
  const values = points.map(point => point[column] ?? null)
  if (!quietAtZero) return values
  return values.map((value, index) =>
    value === 0 && !values[index - 1] && !values[index + 1] ? null : value,
  )
}

/**
 * The top of the worker axis: room for the workers, and for the limit where it does not dwarf them.
 * @param {readonly Point[]} points
 */
function topOf(points) {
  const most = points.reduce(
    (top, [, , , ready, loading, dead, wanted]) =>
      Math.max(top, ready ?? 0, loading ?? 0, dead ?? 0, wanted ?? 0),
    1,
  )
  const usable = points.at(-1)?.[7] ?? 0
  return (usable <= 2 * most + 2 ? Math.max(most, usable) : most) + 0.6
}

/** @param {Chart} chart @param {readonly Point[]} points */
function spoken(chart, points) {
  const last = points.at(-1)
  const span = duration((last?.[0] ?? 0) - (points[0]?.[0] ?? 0))
  const now = chart.lines.map(
    ({ name, column, show }) => `${name.toLowerCase()} ${show(last?.[column] ?? null)}`,
  )
  return `${chart.title} over the last ${span}; now ${now.join(', ')}.`
}
