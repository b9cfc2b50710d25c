// @ts-check
/** How a chart looks: uPlot's options, with colours from page.css so that both schemes hold. */

import { clockTime } from './words.js'

/**
 * @import { Chart, Line } from './charts.js'
 * @import { Axis, Options, Scale, Series } from 'uplot'
 */

export const HEIGHT = 148
const SPAN_MIN_S = 60
export const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000]
const FONT = '12px Inter, system-ui, sans-serif'

const scheme = matchMedia('(prefers-color-scheme: dark)')
const style = getComputedStyle(document.documentElement)

/** @param {string} name */
const colour = name => style.getPropertyValue(`--${name}`).trim()

/**
 * Calls `redraw` when the colours change.
 * @param {() => void} redraw
 * @returns {() => void} stops it
 */
export function onRecolour(redraw) {
  scheme.addEventListener('change', redraw)
  return () => scheme.removeEventListener('change', redraw)
}

/**
 * @param {Chart} chart
 * @param {string} id charts of the same id share their cursor
 * @param {(() => number) | undefined} top of the left axis
 * @param {() => void} moved called when the cursor was moved
 * @returns {Options}
 */
export function optionsOf(chart, id, top, moved) {
  const { left, right, lines, steps, stepped } = chart
  return {
    width: 300,
    height: HEIGHT,
    padding: [8, right ? 0 : 24, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { size: 7 },
      sync: { key: id, scales: ['x', null] },
    },
    scales: {
      x: { time: true, range: (_, min, max) => [Math.min(min, max - SPAN_MIN_S), max] },
      left: { range: top ? () => [0, top()] : fromZero },
      ...(right ? { right: { range: fromZero } } : {}),
    },
    series: [{}, ...lines.map(line => seriesOf(line, stepped === true))],
    axes: [
      timeAxis(),
      valueAxis('left', left, steps ? { incrs: steps } : {}),
      ...(right ? [rightAxis(right)] : []),
    ],
    hooks: { setCursor: [moved] },
  }
}

/** @type {Scale.Range} */
const fromZero = (_, __, max) => [0, max > 0 ? max * 1.15 : 1]

/** @param {Line} line @param {boolean} stepped @returns {Series} */
function seriesOf(line, stepped) {
  const steps = stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined
  return {
    scale: line.scale ?? 'left',
    stroke: () => colour(line.colour),
    width: line.thin ? 1.5 : 2,
    points: { show: false },
    ...(line.fill ? { fill: () => colour(`${line.colour}-fill`) } : {}),
    ...(line.dash ? { dash: line.dash } : {}),
    ...(steps ? { paths: steps } : {}),
  }
}

/** @returns {Axis} */
function bareAxis() {
  return {
    font: FONT,
    stroke: () => colour('muted'),
    ticks: { show: false },
    grid: { stroke: () => colour('grid'), width: 1 },
  }
}

/** @returns {Axis} */
function timeAxis() {
  return {
    ...bareAxis(),
    size: 28,
    space: 80,
    grid: { show: false },
    values: (_, splits, __, ___, step) =>
      splits.map(at => clockTime(at * 1_000).slice(0, step < 60 ? 8 : 5)),
  }
}

/**
 * @param {'left' | 'right'} scale
 * @param {(value: number) => string} show
 * @param {Axis} more
 * @returns {Axis}
 */
function valueAxis(scale, show, more) {
  const values = (/** @type {unknown} */ _, /** @type {number[]} */ splits) => splits.map(show)
  return { ...bareAxis(), scale, size: 48, space: 32, values, ...more }
}

/** @param {(value: number) => string} show @returns {Axis} */
function rightAxis(show) {
  const axis = valueAxis('right', show, { grid: { show: false }, incrs: WHOLE })
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- uPlot's Side has no value at run time
  return { ...axis, side: 1 }
}
