// @ts-check
/** The decision log: newest first, each to be opened for the numbers behind it. */

import { headline, toneOf } from './card.js'
import { copy, describe, find, make, say } from './dom.js'
import { ago, clockTime, inputRows, lasting, outcomeSentence } from './words.js'

/** @import { LoggedDecision } from '../history.ts' */

const SHOWN_MAX = 200

/**
 * @typedef {object} DecisionLog
 * @property {(changed: readonly LoggedDecision[], nowMs: number) => void} update takes newest first
 * @property {() => void} clear
 */

/** @param {HTMLElement} section @returns {DecisionLog} */
export function createDecisionLog(section) {
  const list = find(section, 'ol')
  /** @type {Map<number, { element: HTMLElement, atMs: number }>} */
  const entries = new Map()
  return {
    update(changed, nowMs) {
      for (const decision of changed.toReversed()) {
        const element =
          entries.get(decision.id)?.element ?? list.insertBefore(copy('entry'), list.firstChild)
        entries.set(decision.id, { element, atMs: decision.atMs })
        fill(element, decision)
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

/** @param {HTMLElement} element @param {LoggedDecision} decision */
function fill(element, decision) {
  const { atMs, lastMs, times, outcomes } = decision
  element.dataset['tone'] = toneOf(decision)
  const time = find(element, 'time')
  time.setAttribute('datetime', new Date(atMs).toISOString())
  time.title = clockTime(atMs)
  say(find(element, '.who'), decision.key)
  say(find(element, '.reason'), headline(decision))
  say(find(element, '.because'), decision.because)
  say(find(element, '.times'), times > 1 ? `for ${lasting(lastMs - atMs)}` : '')
  const sentences = outcomes.map(outcomeSentence)
  const list = find(element, '.outcomes')
  if (sentences.join() !== [...list.children].map(item => item.textContent).join()) {
    list.replaceChildren(...sentences.map(sentence => make('li', sentence)))
  }
  describe(find(element, '.numbers'), inputRows(decision.inputs))
}
