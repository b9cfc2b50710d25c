// @ts-check
/** What is drawn of a pool: its columns are those of a Point. */

import { WHOLE } from './plot.js'
import { duration, number } from './words.js'

/** @import { Chart, Row } from './charts.js' */

/** @param {number | null} value */
const perSecond = value => number(value, '/s')
/** @param {number | null} value */
const plain = value => number(value)

/** @type {Chart[]} */
export const poolCharts = [
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
    steps: WHOLE,
    top: topOf,
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
 * The top of the worker axis: room for the workers, and for the limit where it does not dwarf them.
 * @param {readonly Row[]} rows
 */
function topOf(rows) {
  const most = rows.reduce(
    (top, [, , , ready, loading, dead, wanted]) =>
      Math.max(top, ready ?? 0, loading ?? 0, dead ?? 0, wanted ?? 0),
    1,
  )
  const usable = rows.at(-1)?.[7] ?? 0
  return (usable <= 2 * most + 2 ? Math.max(most, usable) : most) + 0.6
}
