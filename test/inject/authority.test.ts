/** Certificates over years of a virtual clock: whatever is shown is trusted by the API server at that time. */
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { createCertifier, type TrustStore } from '../../src/inject/authority.ts'
import { createAuthority, pairOf, signLeaf, type Pair } from '../../src/inject/certificates.ts'
import { renewalFor, usualLives } from '../../src/inject/renewal.ts'
import { virtualClock } from '../../src/simulate/clock.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const names = ['stoker.stoker-system.svc', '127.0.0.1']

/** A Secret and a webhook configuration, as the API server keeps them. */
function cluster() {
  let version = 0
  let pem: { certs: string; keys: string } | undefined
  let bundles = ['', '']
  let down = false
  const calls: string[] = []
  const up = () => {
    if (down) throw new Error('unreachable')
  }
  const open = (): TrustStore => {
    let seen = -1
    return {
      async read() {
        up()
        seen = version
        return { pem, bundles }
      },
      async write(next) {
        up()
        calls.push('write')
        if (seen !== version) return false
        version += 1
        pem = next
        return true
      },
      async trust(bundle) {
        up()
        calls.push('trust')
        bundles = bundles.map(() => bundle)
      },
    }
  }
  return {
    open,
    calls,
    blank: () => (bundles = ['', '']),
    spoil: () => (pem = { certs: 'nonsense', keys: '' }),
    setDown: (value: boolean) => (down = value),
    bundles: () => bundles,
    authorities: () => (pem?.certs.match(/BEGIN/g) ?? []).length,
  }
}

const certificatesIn = (bundle: string) =>
  (bundle.match(/-----BEGIN[\s\S]*?END CERTIFICATE-----/g) ?? []).map(
    pem => new X509Certificate(pem),
  )

/** Whether a client that trusts the bundle accepts the leaf now. */
function isTrusted(leaf: Pair | undefined, bundle: string, nowMs: number): boolean {
  if (!leaf || leaf.untilMs <= nowMs) return false
  const cert = new X509Certificate(leaf.cert)
  return certificatesIn(bundle).some(
    ca => cert.checkIssued(ca) && cert.verify(ca.publicKey) && Date.parse(ca.validTo) > nowMs,
  )
}

t.test(
  'a leaf is a server certificate of its authority, for its names, and does not outlive it',
  async t => {
    const now = Date.UTC(2026, 0, 1)
    const authority = await createAuthority(now, 3 * DAY)
    const leaf = await signLeaf(authority, names, now, 7 * DAY)
    const cert = new X509Certificate(leaf.cert)
    t.ok(isTrusted(leaf, authority.cert, now))
    t.equal(cert.checkHost('stoker.stoker-system.svc'), 'stoker.stoker-system.svc')
    t.equal(cert.checkIP('127.0.0.1'), '127.0.0.1')
    t.equal(cert.checkHost('other.svc'), undefined)
    t.equal(cert.ca, false)
    t.same(cert.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    t.equal(leaf.untilMs, authority.untilMs)
    t.equal(leaf.madeMs, now)
    t.throws(() => pairOf(leaf.cert, authority.key), { message: /does not belong/ })
  },
)

t.test(
  'the first replica makes an authority, has it trusted, and only then shows a leaf',
  async t => {
    const clock = virtualClock(Date.UTC(2026, 0, 1))
    const world = cluster()
    const shown: Pair[] = []
    const show = (leaf: Pair) => {
      t.ok(isTrusted(leaf, world.bundles()[0] ?? '', clock.now()))
      shown.push(leaf)
    }
    const pass = createCertifier({ store: world.open(), names, clock, lives: usualLives, show })
    await pass()
    t.same(world.calls, ['write', 'trust'])
    t.equal(shown.length, 1)
    await pass()
    t.same(world.calls, ['write', 'trust'], 'nothing is written without need')
    t.equal(shown.length, 1)
    world.blank()
    await pass()
    t.ok(
      isTrusted(shown.at(-1), world.bundles()[1] ?? '', clock.now()),
      'a bundle that was lost comes back',
    )
  },
)

t.test(
  'three replicas over four authorities: every leaf that is shown is trusted, at any time',
  async t => {
    const clock = virtualClock(Date.UTC(2026, 0, 1))
    const world = cluster()
    const lives = { authorityMs: 15 * DAY, leafMs: DAY, settleMs: HOUR }
    const leaves: (Pair | undefined)[] = [undefined, undefined, undefined]
    const replicas = leaves.map((_, index) =>
      createCertifier({
        store: world.open(),
        names,
        clock,
        lives,
        show: leaf => (leaves[index] = leaf),
      }),
    )
    await Promise.all(replicas.map(pass => pass()))
    let [most, authorities] = [0, new Set<string>()]
    for (let hour = 0; hour < 39 * 24; hour += 2) {
      await clock.advance(2 * HOUR)
      for (const pass of replicas) {
        await pass()
        // What was shown before the pass is still trusted after it: connections that are open need nothing else.
        for (const leaf of leaves)
          if (!isTrusted(leaf, world.bundles()[0] ?? '', clock.now()))
            throw new Error(`not trusted at hour ${hour}`)
      }
      most = Math.max(most, world.authorities())
      for (const { fingerprint } of certificatesIn(world.bundles()[0] ?? ''))
        authorities.add(fingerprint)
    }
    t.ok(authorities.size === 4, `${authorities.size} authorities`)
    t.equal(most, 2, 'the old and the new, and no more')
  },
)

t.test('a new authority is trusted before it signs', async t => {
  const lives = { authorityMs: 30 * DAY, leafMs: DAY, settleMs: HOUR }
  const start = Date.UTC(2026, 0, 1)
  const [old, young] = [
    await createAuthority(start, lives.authorityMs),
    await createAuthority(start + 20 * DAY, lives.authorityMs),
  ]
  const at = (nowMs: number, authorities: Pair[]) =>
    renewalFor({ nowMs, authorities, leaf: undefined }, lives)
  t.match(at(start, []), { needsAuthority: true, signer: undefined })
  t.match(at(start + 1000, [old]), { needsAuthority: false, signer: old })
  t.match(at(start + 20 * DAY - 1000, [old]), { needsAuthority: false })
  t.match(at(start + 20 * DAY, [old]), { needsAuthority: true, signer: old })
  t.match(at(start + 20 * DAY + 1000, [old, young]), {
    needsAuthority: false,
    signer: old,
    keep: [old, young],
  })
  t.match(at(start + 20 * DAY + HOUR, [old, young]), { signer: young, keep: [old, young] })
  t.same(at(start + 21 * DAY + HOUR, [old, young]).keep, [young])
  t.same(at(start + 31 * DAY, [old]), {
    keep: [],
    needsAuthority: true,
    signer: undefined,
    needsLeaf: true,
  })
})

t.test('while the API server is away the leaf is renewed by what is known', async t => {
  const clock = virtualClock(Date.UTC(2026, 0, 1))
  const world = cluster()
  const shown: Pair[] = []
  const pass = createCertifier({
    store: world.open(),
    names,
    clock,
    lives: usualLives,
    show: leaf => shown.push(leaf),
  })
  world.setDown(true)
  await t.rejects(pass(), { message: 'unreachable' })
  t.equal(shown.length, 0)
  world.setDown(false)
  await pass()
  world.setDown(true)
  await clock.advance(6 * DAY)
  await t.rejects(pass(), { message: 'unreachable' })
  t.equal(shown.length, 2)
  t.ok(isTrusted(shown[1], world.bundles()[0] ?? '', clock.now() + DAY))
})

t.test('what somebody else has put into the Secret is replaced', async t => {
  const clock = virtualClock(Date.UTC(2026, 0, 1))
  const world = cluster()
  world.spoil()
  const shown: Pair[] = []
  await createCertifier({
    store: world.open(),
    names,
    clock,
    lives: usualLives,
    show: leaf => shown.push(leaf),
  })()
  t.ok(isTrusted(shown[0], world.bundles()[0] ?? '', clock.now()))
  t.equal(world.authorities(), 1)
})

t.test('a replica that always loses the race says so', async t => {
  const store = { ...cluster().open(), write: async () => false }
  const pass = createCertifier({
    store,
    names,
    clock: virtualClock(Date.UTC(2026, 0, 1)),
    lives: usualLives,
    show: () => t.fail(),
  })
  await t.rejects(pass(), { message: /other replicas/ })
})
