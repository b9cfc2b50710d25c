/** The values in nvidia-smi's fields: numbers, words for what is not there, and words for trouble. */

const MIB = 1_048_576
const measured = /^([+-]?\d+(?:\.\d+)?)(?:\s+(MiB|%))?$/
const trouble = /unknown error|err!|gpu is lost|requires reset/i

/** `12 MiB` in bytes; undefined for anything else, as `N/A`, `[Insufficient Permissions]` or a number without unit. */
export function bytesOf(text: string | undefined): number | undefined {
  return read(text, 'MiB', MIB)
}

/** `97 %` as 0.97; undefined for anything else. */
export function shareOf(text: string | undefined): number | undefined {
  const percent = read(text, '%', 1)
  return percent === undefined ? undefined : Math.min(1, percent / 100)
}

/** A whole number without unit. */
export function countOf(text: string | undefined): number | undefined {
  const value = read(text, undefined, 1)
  return Number.isSafeInteger(value) ? value : undefined
}

/** The driver could not answer: the GPU is sick, or gone. */
export function isTrouble(text: string | undefined): boolean {
  return text !== undefined && trouble.test(text)
}

function read(text: string | undefined, unit: string | undefined, scale: number) {
  const found = measured.exec(text?.trim() ?? '')
  if (!found || found[2] !== unit) return undefined
  const value = Number(found[1]) * scale
  return Number.isFinite(value) && value >= 0 ? value : undefined
}
