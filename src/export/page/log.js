// @ts-check
/** The decision log: newest first, each to be opened for the numbers behind it. */

import { headline, toneOf } from './card.js'
import { copy, describe, find, make, say } from './dom.js'
import { ago, clockTime, inputRows, lasting, outcomeSentence } from './words.js'

/**
 * @import { LoggedDecision } from '../history.ts'
 *
 * @typedef {object} Entry
 * @property {string} id
 * @property {number} atMs
 * @property {number} lastMs
 * @property {number} times
 * @property {string} who
 * @property {string} tone
 * @property {string} headline
 * @property {string} because
 * @property {string[]} outcomes sentences, oldest first
 * @property {[name: string, value: string][]} numbers
 */

const SHOWN_MAX = 200

/**
 * @typedef {object} DecisionLog
 * @property {(changed: readonly Entry[], nowMs: number) => void} update
 * @property {() => void} clear
 */

/** @param {HTMLElement} section @returns {DecisionLog} */
export function createDecisionLog(section) {
  const list = find(section, 'ol')
  /** @type {Map<string, { element: HTMLElement, atMs: number }>} */
  const entries = new Map()
  return {
    update(changed, nowMs) {
      for (const entry of changed.toSorted((one, other) => one.atMs - other.atMs)) {
        const element =
          entries.get(entry.id)?.element ?? list.insertBefore(copy('entry'), list.firstChild)
        entries.set(entry.id, { element, atMs: entry.atMs })
        fill(element, entry)
      }
      for (const [id, { element }] of entries) {
        if (entries.size <= SHOWN_MAX) break
        element.remove()
        entries.delete(id)
      }
      for (const { element, atMs } of entries.values())
        say(find(element, 'time'), ago(nowMs - atMs))
      section.hidden = entries.size === 0
    },
    clear() {
      list.replaceChildren()
      entries.clear()
    },
  }
}

/** @param {LoggedDecision} decision @returns {Entry} */
export function decisionEntry(decision) {
  const { id, atMs, lastMs, times, key, because, outcomes, inputs } = decision
  return {
    id: `${id}`,
    atMs,
    lastMs,
    times,
    because,
    who: key,
    tone: toneOf(decision),
    headline: headline(decision),
    outcomes: outcomes.map(outcomeSentence),
    numbers: inputRows(inputs),
  }
}

/** @param {HTMLElement} element @param {Entry} entry */
function fill(element, { atMs, lastMs, times, ...entry }) {
  element.dataset['tone'] = entry.tone
  const time = find(element, 'time')
  time.setAttribute('datetime', new Date(atMs).toISOString())
  time.title = clockTime(atMs)
  say(find(element, '.who'), entry.who)
  say(find(element, '.reason'), entry.headline)
  say(find(element, '.because'), entry.because)
  say(find(element, '.times'), times > 1 ? `for ${lasting(lastMs - atMs)}` : '')
  const list = find(element, '.outcomes')
  if (entry.outcomes.join() !== [...list.children].map(item => item.textContent).join()) {
    list.replaceChildren(...entry.outcomes.map(sentence => make('li', sentence)))
  }
  describe(find(element, '.numbers'), entry.numbers)
}
