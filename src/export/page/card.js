// @ts-check
/** One pool: its sentence, its workers, its numbers and its charts. */

import { createCharts } from './charts.js'
import { copy, describe, find, say } from './dom.js'
import { drawWorkers, tallyWorkers } from './workers.js'
import { duration, bytes, number } from './words.js'

/** @import { Point, PoolState } from '../history.ts' */

const POINTS_MAX = 900
const GAP_TICKS = 5

/**
 * @typedef {object} Card
 * @property {HTMLElement} element
 * @property {(pool: PoolState, tickMs: number) => void} update
 * @property {() => void} remove
 */

/** @param {string} id of the pool @returns {Card} */
export function createCard(id) {
  const element = copy('pool')
  const charts = createCharts(find(element, '.charts'), id)
  /** @type {Point[]} */
  let points = []
  return {
    element,
    update(pool, tickMs) {
      say(find(element, '.model'), pool.model)
      say(find(element, 'h2 .version'), `version ${pool.version}`)
      say(find(element, '.reason'), headline(pool))
      say(find(element, '.because'), pool.because)
      element.dataset['tone'] = toneOf(pool)
      element.dataset['fresh'] = String(pool.fresh)
      drawWorkers(find(element, '.workers'), pool)
      tallyWorkers(find(element, '.tally'), pool)
      describe(find(element, '.numbers'), numbersOf(pool))
      points = extend(points, pool.points, tickMs)
      charts.draw(points)
    },
    remove() {
      charts.remove()
      element.remove()
    },
  }
}

/** @param {{ label: string, action: PoolState['action'] }} decision */
export function headline({ label, action }) {
  return action ? `${label}: ${action.from} → ${action.to}` : label
}

/**
 * What the colour of a decision says; its label says the same in words.
 * @param {Pick<PoolState, 'action' | 'reason'>} decision
 */
export function toneOf({ action, reason }) {
  if (reason === 'load_failed' || reason === 'dead_worker') return 'trouble'
  if (action) return 'change'
  if (reason === 'refused' || reason === 'stale') return 'off'
  return held.has(reason) ? 'held' : 'calm'
}

/** @type {ReadonlySet<PoolState['reason']>} */
const held = new Set([
  'at_maximum',
  'at_knee',
  'at_ceiling',
  'gpu_full',
  'gpu_unknown',
  'cpu_full',
  'cooldown',
  'foreign_change',
])

/** @param {PoolState} pool @returns {[string, string][]} */
function numbersOf({ arrivalsPerSecond, waiting, inputs }) {
  return [
    ['Arrivals', number(arrivalsPerSecond, '/s')],
    ['Waiting', number(waiting)],
    ['Service time', duration(inputs.serviceMs)],
    ['Load time', duration(inputs.loadMs)],
    ['Allowed', `${inputs.minimum} to ${inputs.maximum}`],
    ['Knee', inputs.knee === null ? 'not found' : number(inputs.knee)],
    ['Ceiling', inputs.ceiling === null ? 'not met' : number(inputs.ceiling)],
    ['Limit now', number(inputs.usable)],
    ...(inputs.gpu
      ? /** @type {[string, string][]} */ ([
          ['GPU per worker', bytes(inputs.gpu.workerBytes)],
          ['GPU has room for', inputs.gpu.fits === null ? 'not known' : number(inputs.gpu.fits)],
        ])
      : []),
  ]
}

/**
 * @param {readonly Point[]} points @param {readonly Point[]} more @param {number} tickMs
 * @returns {Point[]}
 */
function extend(points, more, tickMs) {
  const all = [...points]
  for (const point of more) {
    const [atMs] = point
    const lastMs = all.at(-1)?.[0]
    if (lastMs !== undefined && atMs <= lastMs) continue
    // A line across minutes nobody saw would be invented.
    if (lastMs !== undefined && atMs - lastMs > GAP_TICKS * tickMs) all.push(nothingAt(lastMs + 1))
    all.push(point)
  }
  return all.slice(-POINTS_MAX)
}

/** @param {number} atMs @returns {Point} */
const nothingAt = atMs => [atMs, null, null, null, null, null, null, null, null]
