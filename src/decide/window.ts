/** The largest value of the last while; values that a later, larger one outlives are dropped. */
export interface MaxWindow {
  /** Falling values, oldest first. */
  entries: readonly { atMs: number; value: number }[]
}

export const emptyWindow: MaxWindow = { entries: [] }

export function addToWindow(
  window: MaxWindow,
  atMs: number,
  value: number,
  lengthMs: number,
): MaxWindow {
  const kept = window.entries.filter(entry => atMs - entry.atMs <= lengthMs && entry.value > value)
  return { entries: [...kept, { atMs, value }] }
}

export function largest(window: MaxWindow): number | undefined {
  return window.entries[0]?.value
}
