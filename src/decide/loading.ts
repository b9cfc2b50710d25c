/** How long loads take, and how many may run together. */

/** What is known of one pool's loads. */
export interface Loading {
  /** From the command to READY, for a worker that loads alone; milliseconds. */
  aloneMs: number | undefined
  /** What each further load adds, in parts of `aloneMs`: 0, they do not feel each other; 1, they wait for each other. */
  slowdown: number
}

/** Until loads were seen together. */
const SLOWDOWN = 0.5
/** Loads together may take this part of the start-up timeout, after which TorchServe kills them and begins anew. */
const SHARE = 0.8

export const noLoading: Loading = { aloneMs: undefined, slowdown: SLOWDOWN }

/** Takes in that `together` workers were READY `tookMs` after the command. */
export function learnLoading(before: Loading, tookMs: number, together: number): Loading {
  const { aloneMs, slowdown } = before
  if (aloneMs === undefined) return { aloneMs: tookMs, slowdown }
  if (together === 1) return { aloneMs: (aloneMs + tookMs) / 2, slowdown }
  const seen = (tookMs / aloneMs - 1) / (together - 1)
  return { aloneMs, slowdown: (slowdown + Math.min(Math.max(seen, 0), 1)) / 2 }
}

/** How many may load together and be ready well within TorchServe's start-up timeout; one while nothing is known. */
export function mayLoadTogether({ aloneMs, slowdown }: Loading, startupTimeoutMs: number): number {
  if (aloneMs === undefined) return 1
  const spare = (SHARE * startupTimeoutMs) / Math.max(aloneMs, 1) - 1
  return spare <= 0 ? 1 : 1 + Math.floor(spare / Math.max(slowdown, 0.01))
}
