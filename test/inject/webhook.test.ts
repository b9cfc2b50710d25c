/** The webhook as the API server meets it: over TLS, by HTTP/2 and HTTP/1.1. */
import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { Agent } from 'node:https'
import { writeFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { TrustStore } from '../../src/inject/authority.ts'
import { createAuthority, signLeaf } from '../../src/inject/certificates.ts'
import type { Event } from '../../src/inject/events.ts'
import { usualLives } from '../../src/inject/renewal.ts'
import { runWebhook, type Certificates, type WebhookParts } from '../../src/inject/webhook.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { byHttp1, byHttp2, type Call } from './calls.ts'
import { options } from './golden.ts'

const DAY = 86_400_000
/** Of the real clock, for a machine that is busy. */
const PATIENCE_MS = 20_000

const review = (pod: object = {}, more: object = {}) =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      namespace: 'ml',
      object: { spec: { containers: [{ name: 'a', image: 'torchserve' }] }, ...pod },
      ...more,
    },
  })

const ownCertificates: Certificates = {
  kind: 'own',
  passMs: 60_000,
  hosts: ['127.0.0.1', 'stoker.stoker-system.svc'],
  names: { namespace: 'stoker-system', secret: 'ca', configuration: 'stoker' },
  lives: usualLives,
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not come to pass')
    await turn()
  }
}

/** A webhook on free ports with a cluster in memory; `url` is undefined until it listens. */
function start(t: Test, parts: Partial<WebhookParts> = {}, spoil = (_text: string) => {}) {
  // Certificates made by this clock hold by the real one, too, now and five days of it later.
  const clock = virtualClock(Date.now() - 5 * DAY, 20)
  const stop = new AbortController()
  const events: Event[] = []
  let [url, healthUrl, bundle] = ['', '', '']
  let pem: { certs: string; keys: string } | undefined
  const lines: { text: string; fields: object }[] = []
  const store: TrustStore = {
    read: async () => ({ pem, bundles: [bundle] }),
    write: async next => Boolean((pem = next)),
    trust: async next => void (bundle = next),
  }
  const note = (fields: object, text: string) => {
    spoil(text)
    lines.push({ fields, text })
    if ('url' in fields) url = String(fields.url)
    if ('healthUrl' in fields) healthUrl = String(fields.healthUrl)
  }
  const log = { info: note, warn: note }
  const cluster = { store: () => store, post: async (event: Event) => void events.push(event) }
  const running = runWebhook(
    {
      options,
      strict: false,
      host: '127.0.0.1',
      port: 0,
      healthPort: 0,
      certificates: ownCertificates,
      cluster,
      clock,
      log,
      ...parts,
    },
    stop.signal,
  )
  /** Lets the webhook's time pass until it has ended. */
  async function ended(): Promise<void> {
    let isOver = false
    const mark = () => (isOver = true)
    running.then(mark, mark)
    const passing = until(() => isOver)
    while (!isOver) await clock.advance(1_000)
    await passing
    await running
  }
  t.teardown(async () => {
    stop.abort()
    await ended()
  })
  return {
    clock,
    stop,
    store,
    events,
    lines,
    ended,
    listening: () => until(() => url !== '' && healthUrl !== ''),
    url: () => url,
    health: async (path: string) => {
      const response = await fetch(new URL(path, healthUrl))
      return { status: response.status, body: await response.text() }
    },
    call: (body = review()): Call => ({ url, ca: bundle, body }),
  }
}

t.test('reviews are answered by HTTP/1.1 and HTTP/2', async t => {
  const webhook = start(t)
  await webhook.listening()
  for (const send of [byHttp1, byHttp2]) {
    const { status, body } = await send(webhook.call())
    t.equal(status, 200)
    t.match(JSON.parse(body), { response: { uid: 'u', allowed: true, patchType: 'JSONPatch' } })
  }
})

t.test(
  'bodies of nearly 10 MB are reviewed; larger ones, and those that are no review, are errors',
  async t => {
    const webhook = start(t)
    await webhook.listening()
    const padded = (bytes: number) => review({}, { options: { padding: 'x'.repeat(bytes) } })
    const cases: [body: string, status: number][] = [
      [padded(10_000_000), 200],
      [padded(11_000_000), 413],
      ['{"apiVersion":', 400],
      ['{"kind":"AdmissionReview"}', 400],
      ['', 400],
      [review({ metadata: { annotations: JSON.parse('{"__proto__": "x"}') } }), 200],
    ]
    for (const [body, status] of cases) {
      t.equal((await byHttp1(webhook.call(body))).status, status)
      t.equal((await byHttp2(webhook.call(body))).status, status)
    }
  },
)

t.test(
  'what was decided is counted, logged and told to the owner; a dry run leaves no Event',
  async t => {
    const webhook = start(t)
    await webhook.listening()
    const controller = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: 'r',
      uid: 'x',
      controller: true,
    }
    const metadata = { generateName: 'r-', ownerReferences: [controller] }
    await byHttp1(webhook.call(review({ metadata }, { dryRun: true })))
    t.same(webhook.events, [])
    await byHttp1(webhook.call(review({ metadata })))
    await byHttp1(webhook.call(review({ metadata: { labels: { 'stoker.dev/inject': 'false' } } })))
    await byHttp1(webhook.call(review({ spec: {} })))
    t.match(webhook.events, [{ reason: 'StokerInjected', owner: { name: 'r', namespace: 'ml' } }])
    t.equal(webhook.events.length, 1)
    const metrics = (await webhook.health('/metrics')).body
    t.match(metrics, 'stoker_admissions_total{outcome="injected",reason="injected"} 2\n')
    t.match(metrics, 'stoker_admissions_total{outcome="skipped",reason="disabled"} 1\n')
    t.match(metrics, 'stoker_admissions_total{outcome="failed",reason="internal_error"} 1\n')
    t.match(metrics, 'stoker_admission_duration_seconds_count 4\n')
    t.match(metrics, /stoker_certificate_expiry_timestamp_seconds \d+/)
    t.ok(webhook.lines.some(({ text }) => text === 'ml/r-: injected'))
    t.notMatch(
      JSON.stringify(webhook.lines),
      /torchserve/,
      'pods are not logged: they can hold secrets',
    )
  },
)

t.test('callers that break off, or speak no TLS, take nobody else’s answer', async t => {
  const webhook = start(t)
  await webhook.listening()
  const { hostname: host, port } = new URL(webhook.url())
  const half = review({}, { options: { padding: 'x'.repeat(1_000_000) } }).slice(0, 500_000)
  const session = connectHttp2(webhook.url(), { ca: webhook.call().ca })
  session.on('error', () => {})
  const stream = session.request({ ':method': 'POST', ':path': '/inject' }, { endStream: false })
  stream.on('error', () => {})
  stream.write(half)
  const plain = connectTcp(Number(port), host)
  plain.on('error', () => {})
  plain.write('GET / HTTP/1.1\r\n\r\n')
  await once(plain, 'close')
  stream.close(constants.NGHTTP2_CANCEL)
  session.destroy()
  const calls = Array.from({ length: 200 }, async (_, n) => {
    const { status } = await (n % 2 ? byHttp1 : byHttp2)(webhook.call())
    return status
  })
  t.same(new Set(await Promise.all(calls)), new Set([200]))
})

t.test('an Event or a log that fails keeps no answer back', async t => {
  const spoil = (text: string) => {
    if (text.includes('injected')) throw new Error('disk full')
  }
  const webhook = start(t, {}, spoil)
  await webhook.listening()
  t.equal((await byHttp1(webhook.call())).status, 200)
  t.ok(webhook.lines.some(({ text }) => text.includes('could not be told')))
})

t.test(
  'readiness follows the certificate and the end; calls are answered until the drain is over',
  async t => {
    const held = Promise.withResolvers<{ pem: undefined; bundles: string[] }>()
    const early = start(t, {
      cluster: {
        store: () => ({ read: () => held.promise, write: async () => true, trust: async () => {} }),
        post: async () => {},
      },
    })
    await until(() => early.lines.some(({ fields }) => 'healthUrl' in fields))
    t.match(await early.health('/readyz'), { status: 503, body: /no certificate yet/ })
    t.equal((await early.health('/healthz')).status, 200)
    held.resolve({ pem: undefined, bundles: [''] })
    await early.listening()
    t.equal((await early.health('/readyz')).status, 200)

    const webhook = start(t)
    await webhook.listening()
    const keepAlive = new Agent({ keepAlive: true })
    t.teardown(() => keepAlive.destroy())
    await byHttp1(webhook.call(), keepAlive)
    webhook.stop.abort()
    await webhook.clock.advance(1_000)
    t.match(await webhook.health('/readyz'), { status: 503, body: /stopping/ })
    t.equal((await byHttp1(webhook.call(), keepAlive)).status, 200)
    t.equal((await byHttp2(webhook.call())).status, 200)
    await webhook.ended()
    await t.rejects(byHttp1(webhook.call()), { code: 'ECONNREFUSED' })
  },
)

t.test('a renewed certificate is shown to new connections, without a failed call', async t => {
  const webhook = start(t, { certificates: { ...ownCertificates, passMs: DAY / 24 } })
  await webhook.listening()
  const first = await byHttp2(webhook.call())
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  await byHttp1(webhook.call(), agent)
  await webhook.clock.advance(5 * DAY)
  const shown = () => webhook.lines.filter(({ text }) => text.includes('certificate is shown'))
  await until(() => shown().length === 2)
  const second = await byHttp2(webhook.call())
  t.equal(second.status, 200)
  t.not(second.serial, first.serial)
  t.equal(
    (await byHttp1(webhook.call(), agent)).serial,
    first.serial,
    'an open connection keeps the old one',
  )
})

t.test(
  'files that somebody else renews are shown when they change, and not when they are broken',
  async t => {
    const authority = await createAuthority(Date.now(), 86_400_000)
    const pair = async () => signLeaf(authority, ['127.0.0.1'], Date.now(), 3_600_000)
    const folder = t.testdir({ 'tls.crt': '', 'tls.key': '' })
    const write = ({ cert, key }: { cert: string; key: string }) => {
      writeFileSync(`${folder}/tls.crt`, cert)
      writeFileSync(`${folder}/tls.key`, key)
    }
    write(await pair())
    const webhook = start(t, { certificates: { kind: 'files', passMs: 10_000, folder } })
    await webhook.listening()
    const call = { ...webhook.call(), ca: authority.cert }
    const first = await byHttp1(call)
    t.equal(first.status, 200)
    write({ cert: (await pair()).cert, key: (await pair()).key })
    await webhook.clock.advance(10_000)
    await until(() => webhook.lines.some(({ text }) => text.includes('could not be looked after')))
    t.equal((await byHttp1(call)).serial, first.serial)
    write(await pair())
    const shown = () =>
      webhook.lines.filter(({ text }) => text.includes('certificate is shown')).length
    await webhook.clock.advance(10_000)
    await until(() => shown() === 2)
    t.not((await byHttp1(call)).serial, first.serial)
  },
)

t.test('a port that is taken is said', async t => {
  const webhook = start(t)
  await webhook.listening()
  const port = Number(new URL(webhook.url()).port)
  const parts = {
    options,
    strict: false,
    host: '127.0.0.1',
    healthPort: port,
    port: 0,
    certificates: ownCertificates,
  }
  const { clock, store } = webhook
  const log = { info() {}, warn() {} }
  const cluster = { store: () => store, post: async () => {} }
  await t.rejects(runWebhook({ ...parts, clock, cluster, log }, webhook.stop.signal), {
    code: 'LISTEN_FAILED',
    message: /--health-port/,
  })
})
