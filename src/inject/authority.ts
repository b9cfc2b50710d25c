/** Keeps a server certificate that the API server trusts: an authority shared in a Secret, and a leaf of this replica’s own. */
import type { Clock } from '../clock.ts'
import { createAuthority, pairOf, signLeaf, type Pair } from './certificates.ts'
import { renewalFor, type Lives } from './renewal.ts'

/** Where the authorities are kept, and where they are trusted. */
export interface TrustStore {
  /** `pem` is undefined where there are none yet. */
  read(): Promise<{ pem: { certs: string; keys: string } | undefined; bundles: readonly string[] }>
  /** Replaces what the last `read` has seen. False where another replica was faster. */
  write(pem: { certs: string; keys: string }): Promise<boolean>
  /** Makes the API server trust this bundle and no other. */
  trust(bundle: string): Promise<void>
}

interface Parts {
  store: TrustStore
  /** Host names and IP addresses that the API server calls. */
  names: readonly string[]
  clock: Clock
  lives: Lives
  /** Called with each new leaf, after the API server was told to trust it. */
  show: (leaf: Pair) => void
}

/** Each try is lost only to another replica’s success. */
const MOST_TRIES = 5

/** A pass looks at the store and renews what is due; it rejects where the store fails, after renewing what can be without it. */
export function createCertifier({ store, names, clock, lives, show }: Parts): () => Promise<void> {
  let authorities: readonly Pair[] = []
  let leaf: (Pair & { authority: Pair }) | undefined

  async function renewAuthorities(): Promise<void> {
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const { pem, bundles } = await store.read()
      const stored = pairsIn(pem)
      const nowMs = clock.now()
      const { keep, needsAuthority } = renewalFor({ nowMs, authorities: stored, leaf }, lives)
      const wanted = needsAuthority
        ? [...keep, await createAuthority(nowMs, lives.authorityMs)]
        : keep
      const changed = wanted.length !== stored.length || needsAuthority || stored.length === 0
      if (changed && !(await store.write(pemOf(wanted)))) continue
      const bundle = pemOf(wanted).certs
      if (bundles.some(one => one !== bundle)) await store.trust(bundle)
      authorities = wanted
      return
    }
    throw new Error('other replicas kept changing the Secret of the certificate authority')
  }

  async function renewLeaf(): Promise<void> {
    const nowMs = clock.now()
    const { signer, needsLeaf } = renewalFor({ nowMs, authorities, leaf }, lives)
    if (!signer || !needsLeaf) return
    leaf = { ...(await signLeaf(signer, names, nowMs, lives.leafMs)), authority: signer }
    show(leaf)
  }

  return async () => {
    try {
      await renewAuthorities()
    } finally {
      await renewLeaf()
    }
  }
}

const pemOf = (pairs: readonly Pair[]) => ({
  certs: pairs.map(pair => pair.cert).join(''),
  keys: pairs.map(pair => pair.key).join(''),
})

/** Those that can be read, the oldest first; what somebody else has put there counts as none. */
function pairsIn(pem: { certs: string; keys: string } | undefined): Pair[] {
  const blocks = (text = '') =>
    text.match(/-----BEGIN [^-]+-----[\s\S]*?-----END [^-]+-----/g) ?? []
  const keys = blocks(pem?.keys)
  try {
    const pairs = blocks(pem?.certs).map((cert, index) => pairOf(cert, keys[index] ?? ''))
    return pairs.toSorted((one, other) => one.madeMs - other.madeMs)
  } catch {
    return []
  }
}
