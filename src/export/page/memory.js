// @ts-check
/** The pod's memory: its sentence, its numbers, its charts, and its part of the log. */

import { createCharts } from './charts.js'
import { copy, describe, find, say } from './dom.js'
import { extend } from './rows.js'
import { bytes, number } from './words.js'

/**
 * @import { LoggedResize, MemoryPoint, MemoryState } from '../memory-history.ts'
 * @import { MemoryInputs, ResizeAction, ResizeOutcome } from '../../model.ts'
 * @import { Chart } from './charts.js'
 * @import { Entry } from './log.js'
 */

const GIB = 2 ** 30
const STEPS = [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64, 128].map(
  part => part * GIB,
)

/** @param {number} value */
const short = value =>
  value < GIB ? bytes(value) : `${Number((value / GIB).toFixed(2))} GiB`.replace('.00', '')
/** @param {number | null} value */
const pods = value => number(value)

/** @type {Chart[]} */
const charts = [
  {
    title: 'Memory',
    stepped: true,
    steps: STEPS,
    left: short,
    lines: [
      { name: 'In use', colour: 'used', column: 4, show: bytes, fill: true },
      { name: 'Granted', colour: 'granted', column: 3, show: bytes },
      { name: 'Requested', colour: 'request', column: 1, show: bytes, dash: [6, 3], thin: true },
      { name: 'Limit', colour: 'limit', column: 2, show: bytes, dash: [10, 5], thin: true },
      { name: 'Needed', colour: 'needed', column: 5, show: bytes, dash: [2, 3], thin: true },
    ],
  },
  {
    title: 'Load in pods like this one',
    left: pods,
    lines: [{ name: 'Pods', colour: 'arrivals', column: 6, show: pods, fill: true }],
  },
]

/** Draws one card above the models, and none where nothing is known of memory. */
export function createMemoryCard() {
  const element = copy('memory')
  const drawn = createCharts(find(element, '.charts'), charts, 'memory')
  /** @type {MemoryPoint[]} */
  let points = []
  return {
    /** @param {MemoryState | null} memory @param {number} tickMs */
    update(memory, tickMs) {
      if (!memory) return element.remove()
      if (!element.isConnected) find(document, '#pools').before(element)
      say(find(element, '.reason'), headline(memory))
      say(find(element, '.because'), memory.because)
      element.dataset['tone'] = toneOf(memory)
      points = extend(points, memory.points, tickMs)
      describe(find(element, '.numbers'), [
        ...numbersOf(memory.inputs),
        ['Load in pods', pods(points.at(-1)?.[6] ?? null)],
      ])
      drawn.draw(points)
    },
  }
}

/** @param {MemoryInputs} inputs @returns {[string, string][]} */
function numbersOf({ base, cap, ceiling, desired, granted, need, usage, wanted, working }) {
  return [
    ['Requested', bytes(desired?.requestBytes ?? null)],
    [
      'Limit',
      desired && desired.limitBytes === undefined ? 'none' : bytes(desired?.limitBytes ?? null),
    ],
    ['Granted', bytes(granted)],
    ['In use', bytes(usage)],
    ['Without caches', bytes(working)],
    ['Base', bytes(base)],
    ['Needed now', bytes(need)],
    ['Needed soon', bytes(wanted)],
    ['Cap', cap === null ? 'not set' : bytes(cap)],
    ['Ceiling', ceiling === null ? 'not met' : bytes(ceiling)],
  ]
}

/** @param {{ label: string, action: ResizeAction | null }} decision */
function headline({ label, action }) {
  if (!action) return label
  const { from, to } = action
  const isRequest = from.requestBytes !== to.requestBytes
  const amounts = [from, to].map(each =>
    bytes((isRequest ? each.requestBytes : each.limitBytes) ?? null),
  )
  return `${label}: ${amounts.join(' → ')}`
}

/** @param {Pick<MemoryState, 'action' | 'reason'>} decision */
function toneOf({ action, reason }) {
  if (reason === 'taken_back') return 'held'
  if (action) return 'change'
  if (reason === 'unsupported' || reason === 'memory_stale' || reason === 'not_running')
    return 'off'
  return reason === 'limited' || reason === 'peer' || reason === 'paused' ? 'held' : 'calm'
}

/** @param {LoggedResize} resize @returns {Entry} */
export function resizeEntry(resize) {
  const { id, atMs, lastMs, times, because, inputs, outcomes } = resize
  return {
    id: `memory ${id}`,
    atMs,
    lastMs,
    times,
    because,
    who: 'memory',
    tone: toneOf(resize),
    headline: headline(resize),
    outcomes: outcomes.map(outcomeSentence),
    numbers: numbersOf(inputs),
  }
}

/** @param {ResizeOutcome} outcome */
function outcomeSentence(outcome) {
  switch (outcome.kind) {
    case 'accepted':
      return 'The API server accepted it; it counts once the kubelet has set it.'
    case 'advised':
      return 'Advice only: nothing was changed.'
    case 'unfit':
      return `Nothing was sent: ${outcome.why}.`
    case 'failed':
      return `Refused (${outcome.code}): ${outcome.message}`
  }
}
