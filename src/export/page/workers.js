// @ts-check
/** The row of blocks: one for each worker that is there or on its way, faint ones for the room that is left. */

import { make, say } from './dom.js'

/** @import { PoolState } from '../history.ts' */

const BLOCKS_MAX = 40
const ROOM_MAX = 16

/** @typedef {'ready' | 'loading' | 'dead' | 'coming' | 'room'} Block */

/** @param {HTMLElement} list @param {PoolState} pool */
export function drawWorkers(list, pool) {
  const blocks = blocksOf(pool)
  const shown = blocks.slice(0, BLOCKS_MAX)
  while (list.childElementCount > shown.length) list.lastElementChild?.remove()
  shown.forEach((block, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement('li'))
    if (item.className === block) return
    item.className = block
    item.replaceChildren(make('span', block, 'unseen'))
    item.setAttribute('title', titles[block])
  })
  const more = blocks.length - shown.length
  if (more > 0) list.append(make('li', `+${more}`, 'more'))
}

/** @type {Record<Block, string>} */
const titles = {
  ready: 'Ready: serves requests',
  loading: 'Loading: not serving yet',
  dead: 'Dead: TorchServe no longer starts it',
  coming: 'Wanted: not started yet',
  room: 'Room: could be started',
}

/** @param {PoolState} pool @returns {Block[]} */
function blocksOf({ inputs, wanted }) {
  const { ready, loading, dead, usable } = inputs
  const live = ready + loading
  const coming = Math.max(0, (wanted ?? 0) - live)
  const room = wanted === null || usable > ROOM_MAX ? 0 : Math.max(0, usable - live - coming)
  return [
    ...several(ready, 'ready'),
    ...several(loading, 'loading'),
    ...several(dead, 'dead'),
    ...several(coming, 'coming'),
    ...several(room, 'room'),
  ]
}

/** @param {number} length @param {Block} block @returns {Block[]} */
const several = (length, block) => Array.from({ length }, () => block)

/** @param {HTMLElement} line @param {PoolState} pool */
export function tallyWorkers(line, { inputs, wanted, fresh }) {
  const { ready, loading, dead } = inputs
  const parts = [
    `${ready} ready`,
    loading > 0 ? `${loading} loading` : '',
    dead > 0 ? `${dead} dead` : '',
    wanted === null ? '' : `${wanted} wanted`,
  ]
  say(line, `${parts.filter(Boolean).join(' · ')}${fresh ? '' : ' · as last seen'}`)
}
