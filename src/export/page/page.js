// @ts-check
/** Asks the agent for what changed each second and draws it; stops while nobody looks. */

import { drawBanners, drawEmpty, drawStatus, drawTitle } from './overview.js'
import { createCard } from './card.js'
import { find, say } from './dom.js'
import { drawGpus } from './gpus.js'
import { createDecisionLog, decisionEntry } from './log.js'
import { createMemoryCard, resizeEntry } from './memory.js'

/**
 * @import { State } from '../history.ts'
 * @import { Card } from './card.js'
 */

const EVERY_MS = 1_000
const TIMEOUT_MS = 5_000
const RESTART_NOTICE_MS = 30_000

const log = createDecisionLog(find(document, '#log'))
const memoryCard = createMemoryCard()
/** @type {Map<string, Card>} */
const cards = new Map()
/** @type {Map<string, string>} */
const announced = new Map()
/** @type {State | undefined} */
let latest
let restartedAtMs = 0
/** @type {AbortController | undefined} */
let running

document.addEventListener('visibilitychange', followVisibility)
followVisibility()

function followVisibility() {
  running?.abort()
  if (document.hidden) return
  running = new AbortController()
  void follow(running.signal)
}

/** @param {AbortSignal} stopped */
async function follow(stopped) {
  while (!stopped.aborted) {
    try {
      const state = await ask(stopped)
      if (!stopped.aborted) draw(state)
    } catch (error) {
      if (stopped.aborted) return
      console.error(error)
      drawStatus(latest, false)
    }
    await new Promise(resolve => setTimeout(resolve, EVERY_MS))
  }
}

/** @param {AbortSignal} stopped @returns {Promise<State>} */
async function ask(stopped) {
  const since = Math.floor(latest?.tickAtMs ?? 0)
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(TIMEOUT_MS)])
  const reply = await fetch(`state?since=${since}`, { signal })
  if (!reply.ok) throw new Error(`the agent answered ${reply.status}`)
  return reply.json()
}

/** @param {State} state */
function draw(state) {
  if (latest && latest.agent.startedAtMs !== state.agent.startedAtMs) {
    log.clear()
    restartedAtMs = state.nowMs
  }
  latest = state
  drawStatus(state, true)
  drawBanners(state, state.nowMs - restartedAtMs < RESTART_NOTICE_MS)
  // An agent that has just restarted knows no pools for a moment; the charts outlive that.
  if (state.tickAtMs === null && cards.size > 0) return
  drawEmpty(state)
  memoryCard.update(state.memory, state.agent.tickMs)
  drawCards(state)
  drawGpus(state)
  log.update(
    [...state.decisions.map(decisionEntry), ...state.resizes.map(resizeEntry)],
    state.nowMs,
  )
  drawTitle(state)
  announce(state)
}

/** @param {State} state */
function drawCards({ pools, poolsLeftOut, agent }) {
  const container = find(document, '#pools')
  const listed = new Set(pools.map(({ id }) => id))
  for (const [id, card] of cards) {
    if (listed.has(id)) continue
    card.remove()
    cards.delete(id)
  }
  for (const pool of pools) {
    const card = cards.get(pool.id) ?? createCard(pool.id)
    if (!cards.has(pool.id)) container.append(card.element)
    cards.set(pool.id, card)
    card.update(pool, agent.tickMs)
  }
  const more = find(document, '#left-out')
  more.hidden = poolsLeftOut === 0
  say(more, `${poolsLeftOut} more models are served than this page shows; /metrics has them all.`)
}

/**
 * Reads out a sentence when its reason is new; its numbers change every second, and nobody wants those read out.
 * @param {State} state
 */
function announce({ pools, memory }) {
  const all = memory ? [{ id: '', key: 'memory', ...memory }, ...pools] : pools
  const news = all.filter(({ id, reason }) => announced.get(id) !== reason)
  if (news.length === 0) return
  for (const { id, reason } of news) announced.set(id, reason)
  say(find(document, '#announce'), news.map(({ key, because }) => `${key}: ${because}`).join(' '))
}
