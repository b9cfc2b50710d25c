// @ts-check
/** What charts draw, kept by the page as long as it is open. */

/** @import { Row } from './charts.js' */

const ROWS_MAX = 900
const GAP_TICKS = 5

/**
 * @template {Row} R
 * @param {readonly R[]} rows @param {readonly R[]} more @param {number} tickMs
 * @returns {R[]}
 */
export function extend(rows, more, tickMs) {
  const all = [...rows]
  for (const row of more) {
    const [atMs] = row
    const lastMs = all.at(-1)?.[0]
    if (lastMs !== undefined && atMs <= lastMs) continue
    // A line across minutes nobody saw would be invented.
    if (lastMs !== undefined && atMs - lastMs > GAP_TICKS * tickMs) all.push(nothing(row, lastMs))
    all.push(row)
  }
  return all.slice(-ROWS_MAX)
}

/** @template {Row} R @param {R} like @param {number} afterMs */
function nothing(like, afterMs) {
  const [, ...values] = like
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every value of a row may be null
  return /** @type {R} */ (/** @type {unknown} */ ([afterMs + 1, ...values.map(() => null)]))
}
