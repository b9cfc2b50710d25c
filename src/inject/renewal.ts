/** When certificates are renewed, and in which order, so that no call fails: pure, from what is seen now. */
import type { Pair } from './certificates.ts'

export interface Lives {
  authorityMs: number
  leafMs: number
  /** How long a new authority is trusted before a leaf of it is shown. */
  settleMs: number
}

export const usualLives: Lives = {
  authorityMs: 365 * 86_400_000,
  leafMs: 7 * 86_400_000,
  settleMs: 10 * 60_000,
}

export interface Seen {
  nowMs: number
  /** Those of the Secret, the oldest first. */
  authorities: readonly Pair[]
  /** The leaf that is shown now, and who signed it. */
  leaf: (Pair & { authority: Pair }) | undefined
}

export interface Renewal {
  /** Those of the Secret that are still needed. */
  keep: readonly Pair[]
  /** A new one has to be made and trusted. */
  needsAuthority: boolean
  /** Who signs; undefined until there is any. */
  signer: Pair | undefined
  needsLeaf: boolean
}

/**
 * A new authority is made when two thirds of the newest one's life are over. It is trusted at once and signs after `settleMs`:
 * an HTTP/2 connection keeps the leaf it began with, and the API server opens a new one when the trusted bundle changes, so
 * the old and the new have to be trusted together before the new one signs. The old one goes when its last leaf has.
 */
export function renewalFor({ nowMs, authorities, leaf }: Seen, lives: Lives): Renewal {
  const alive = authorities.filter(one => one.untilMs > nowMs)
  const settled = alive.filter(one => nowMs - one.madeMs >= lives.settleMs)
  // Nobody shows a leaf of those before it any more.
  const successor = alive.findLast(one => nowMs - one.madeMs >= lives.settleMs + lives.leafMs)
  const keep = successor === undefined ? alive : alive.slice(alive.indexOf(successor))
  const signer = settled.at(-1) ?? alive[0]
  const newest = alive.at(-1)
  return {
    keep,
    needsAuthority: newest === undefined || isDue(newest, nowMs),
    signer,
    needsLeaf: leaf === undefined || leaf.authority.cert !== signer?.cert || isDue(leaf, nowMs),
  }
}

const isDue = ({ madeMs, untilMs }: Pair, nowMs: number) =>
  nowMs >= madeMs + ((untilMs - madeMs) * 2) / 3
