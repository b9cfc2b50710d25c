// @ts-check
/** Numbers, times and outcomes in words. */

/**
 * @import { Inputs, Outcome } from '../../model.ts'
 */

const UNKNOWN = '–'

/** @param {number | null} value @param {string} [unit] */
export function number(value, unit = '') {
  if (value === null) return UNKNOWN
  const digits =
    Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return `${value.toFixed(digits)}${unit && ` ${unit}`}`
}

/** @param {number | null} value */
export function bytes(value) {
  if (value === null) return UNKNOWN
  const mib = value / 2 ** 20
  return mib < 10_240 ? `${mib.toFixed(0)} MiB` : `${(mib / 1_024).toFixed(1)} GiB`
}

/** Of a GPU, whose memory is told in these everywhere; little is not told as 0. @param {number | null} value */
export function gibibytes(value) {
  const gib = (value ?? 0) / 2 ** 30
  return value === null || Math.abs(gib) < 0.1 ? bytes(value) : `${gib.toFixed(1)} GiB`
}

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null) return UNKNOWN
  if (ms > 0 && ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1_000) return `${ms.toFixed(0)} ms`
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(0)} s`
  return `${(ms / 60_000).toFixed(0)} min`
}

/** @param {number} ms how long ago */
export function ago(ms) {
  return ms < 1_500 ? 'now' : `${lasting(ms)} ago`
}

/** @param {number} ms */
export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}

/** @param {number} atMs */
export function clockTime(atMs) {
  return new Date(atMs).toLocaleTimeString(undefined, { hour12: false })
}

const sureness = {
  retired: 'proven to hold no request of a client',
  never_served: 'it had never served',
  edge: 'it had just become idle',
  gap: 'no request had arrived for longer than one takes',
}

/** @param {Outcome} outcome */
export function outcomeSentence(outcome) {
  switch (outcome.kind) {
    case 'commanded':
      return 'TorchServe accepted the change.'
    case 'advised':
      return 'Advice only: nothing was changed.'
    case 'failed':
      return `Failed (${outcome.code}): ${outcome.message}`
    case 'abandoned':
      return `Given up after ${outcome.tries} tries in ${duration(outcome.tookMs)}: ${outcome.why}`
    case 'removed': {
      const delay =
        outcome.delayedMs > 0 ? ` Requests were held up for ${duration(outcome.delayedMs)}.` : ''
      return `One worker taken down in ${duration(outcome.tookMs)}: ${sureness[outcome.sureness]}.${delay}`
    }
  }
}

/** @param {Inputs['gpu']} gpu @returns {[name: string, value: string][]} */
function gpuRows(gpu) {
  if (gpu === null) return []
  const percent = (/** @type {number | null} */ share) =>
    number(share === null ? null : Math.round(100 * share), '%')
  return [
    ['GPU lands on', gpu.landing.join(', ') || UNKNOWN],
    ['GPU to give out', gibibytes(gpu.freeBytes)],
    ['GPU per worker', `${gpu.guessed ? 'at most ' : ''}${gibibytes(gpu.workerBytes)}`],
    ['GPU room for', number(gpu.fits)],
    ['GPU activity', percent(gpu.activity)],
    ['CPUs busy', percent(gpu.cpuBusy)],
    ['GPU source', gpu.source ?? UNKNOWN],
  ]
}

/**
 * The numbers a decision was made from, with their names and units.
 * @param {Inputs} inputs
 * @returns {[name: string, value: string][]}
 */
export function inputRows(inputs) {
  return [
    ['Arrivals', number(inputs.arrivalsPerSecond, '/s')],
    ['Service time', duration(inputs.serviceMs)],
    ['Waiting', number(inputs.waiting)],
    ['Queue room', number(inputs.queueFree)],
    ['Listed', number(inputs.listed)],
    ['Ready', number(inputs.ready)],
    ['Loading', number(inputs.loading)],
    ['Dead', number(inputs.dead)],
    ['Needed now', number(inputs.needed)],
    ['Needed lately', number(inputs.held)],
    ['Minimum', number(inputs.minimum)],
    ['Maximum', number(inputs.maximum)],
    ['Knee', number(inputs.knee)],
    ['Ceiling', number(inputs.ceiling)],
    ['Load time', duration(inputs.loadMs)],
    ...gpuRows(inputs.gpu),
    ['Memory of one', bytes(inputs.workerBytes)],
    ['Memory holds', number(inputs.memoryMost)],
    ['Usable', number(inputs.usable)],
    ['Load in pods', number(inputs.podDemand)],
  ]
}
