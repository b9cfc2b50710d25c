// @ts-check
/** The top of the page: is it live, is TorchServe there, what needs a person, and what to do when there is nothing yet. */

import { find, make, say } from './dom.js'
import { duration } from './words.js'

/** @import { State } from '../history.ts' */

/** @param {string} id @param {'good' | 'idle' | 'bad'} level @param {string} text */
function status(id, level, text) {
  const element = find(document, `#${id}`)
  element.dataset['level'] = level
  say(element, text)
}

/** @param {State | undefined} state @param {boolean} answering */
export function drawStatus(state, answering) {
  document.body.dataset['live'] = String(answering)
  if (!answering) status('live', 'bad', 'Agent not answering, trying again')
  else if (!state || state.tickAtMs === null) status('live', 'idle', 'Starting')
  else if (isLate(state))
    status('live', 'bad', `No tick for ${duration(state.nowMs - state.tickAtMs)}`)
  else status('live', 'good', 'Live')
  if (!state) return
  const { torchserve, agent } = state
  if (torchserve.state === 'fresh') status('torchserve', 'good', 'TorchServe answers')
  else if (torchserve.state === 'stale') status('torchserve', 'bad', 'TorchServe does not answer')
  else status('torchserve', 'idle', 'No TorchServe yet')
  find(document, '#torchserve').title = torchserve.url ?? ''
  if (agent.mode === 'act') status('mode', 'good', 'Acting')
  else status('mode', 'idle', 'Advising only')
  say(find(document, '#version'), `Stoker ${agent.version}`)
}

/** @param {State} state */
const isLate = ({ nowMs, tickAtMs, agent }) =>
  tickAtMs !== null && nowMs - tickAtMs > Math.max(10_000, 5 * agent.tickMs)

/** @param {string} text */
const sentence = text => (/[.!?]$|^$/.test(text) ? text : `${text}.`)

/** @param {State} state @param {boolean} restarted */
export function drawBanners({ agent, torchserve, notes, pools, drain }, restarted) {
  /** @type {[kind: string, text: string][]} */
  const banners = notes
    // Without a pool the page says it in its middle.
    .filter(({ message }) => pools.length > 0 || message !== torchserve.why)
    .map(({ code, message }) => [code, message])
  if (agent.mode === 'advise') {
    banners.unshift([
      'ADVISING ONLY',
      'Everything is decided and explained, nothing is changed. Start the agent with STOKER_MODE=act to let it act.',
    ])
  }
  if (torchserve.state !== 'fresh' && pools.length > 0 && torchserve.why) {
    banners.push([
      'TORCHSERVE SILENT',
      `${sentence(torchserve.why)} Nothing is changed until it answers.`,
    ])
  }
  if (drain) {
    const left = drain.done ? 'nothing is left, and it can go' : drain.because
    banners.push([
      'DRAINING',
      `The pod is about to go: no worker is taken, and its load is left to others; ${sentence(left)}`,
    ])
  }
  if (restarted) {
    banners.push([
      'AGENT RESTARTED',
      'Its memory began anew: service times and knees are learned again.',
    ])
  }
  const box = find(document, '#banners')
  const before = [...box.children].map(child => child.textContent).join('\n')
  if (before === banners.map(([kind, text]) => kind + text).join('\n')) return
  box.replaceChildren(
    ...banners.map(([kind, text]) => {
      const banner = make('p', '', 'banner')
      banner.dataset['kind'] = kind
      banner.append(make('strong', kind), make('span', text))
      return banner
    }),
  )
}

/** @param {State} state */
export function drawEmpty({ pools, torchserve, tickAtMs }) {
  const section = find(document, '#empty')
  section.hidden = pools.length > 0
  if (pools.length > 0) return
  const command = find(section, 'pre')
  command.hidden = torchserve.state !== 'fresh'
  if (torchserve.state === 'fresh') {
    say(find(section, 'h2'), 'TorchServe is up and serves no model yet')
    say(find(section, 'p'), 'Register one, and Stoker takes it from there:')
    const url = (torchserve.url ?? '').replace(/\/$/, '')
    say(find(section, 'code'), `curl -X POST '${url}/models?url=my_model.mar&initial_workers=1'`)
    return
  }
  say(find(section, 'h2'), tickAtMs === null ? 'Lighting the fire' : 'Waiting for TorchServe')
  say(
    find(section, 'p'),
    tickAtMs === null
      ? 'The agent has not finished its first look.'
      : `${sentence(torchserve.why ?? '')} Stoker looks again every second; this page fills by itself.`,
  )
}

/** @param {State} state */
export function drawTitle({ pools, agent }) {
  const ready = pools.reduce((sum, { inputs }) => sum + inputs.ready, 0)
  const mode = agent.mode === 'advise' ? ' (advising)' : ''
  document.title = pools.length > 0 ? `${ready} ready · Stoker${mode}` : `Stoker${mode}`
}
