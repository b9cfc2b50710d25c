// @ts-check
/** One pool: its sentence, its workers, its numbers and its charts. */

import { createCharts } from './charts.js'
import { copy, describe, find, say } from './dom.js'
import { poolCharts } from './pool-charts.js'
import { extend } from './rows.js'
import { drawWorkers, tallyWorkers } from './workers.js'
import { bytes, duration, gibibytes, number } from './words.js'

/** @import { Point, PoolState } from '../history.ts' */

/**
 * @typedef {object} Card
 * @property {HTMLElement} element
 * @property {(pool: PoolState, tickMs: number) => void} update
 * @property {() => void} remove
 */

/** @param {string} id of the pool @returns {Card} */
export function createCard(id) {
  const element = copy('pool')
  const charts = createCharts(find(element, '.charts'), poolCharts, id)
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
  'at_memory',
  'gpu_full',
  'gpu_unknown',
  'gpu_unhealthy',
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
          ['GPU per worker', gibibytes(inputs.gpu.workerBytes)],
          ['GPU has room for', inputs.gpu.fits === null ? 'not known' : number(inputs.gpu.fits)],
        ])
      : []),
    ...memoryNumbers(inputs),
  ]
}

/** @param {PoolState['inputs']} inputs @returns {[string, string][]} */
function memoryNumbers({ memoryMost, workerBytes }) {
  /** @type {[string, string][]} */
  const rows = []
  if (workerBytes !== null) rows.push(['One worker', bytes(workerBytes)])
  if (memoryMost !== null) rows.push(['Memory holds', number(memoryMost)])
  return rows
}
