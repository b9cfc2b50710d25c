/** A repeatable stream of numbers in [0, 1). */
export type Random = () => number

/** Mulberry32. Streams of the same seed and different names are independent, so one part's draws never move another's. */
export function random(seed: number, stream = ''): Random {
  let state = seed | 0
  for (const letter of stream) {
    state = Math.imul(state ^ (letter.codePointAt(0) ?? 0), 0x9e3779b1) ^ (state >>> 15)
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296
  }
}

/** Exponentially distributed with mean 1: the gap between arrivals that know nothing of each other. */
export function exponential(draw: Random): number {
  return -Math.log(1 - draw())
}
