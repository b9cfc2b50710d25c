import { writeFileSync } from 'node:fs'
import t from 'tap'
import { virtualClock } from '../../../src/simulate/clock.ts'
import { capture } from '../../captures.ts'
import { listen, until } from '../listen.ts'
import { reply, served, uid } from './served.ts'

const GiB = 2 ** 30
const path = '/api/v1/namespaces/t1/pods/p1/resize'
const raised = capture('apiserver/11-strategic-raise').response

t.test('reading is a patch of nothing, fenced with the uid', async t => {
  const { kubernetes, server, bodies } = await served(t, [{ status: 200, body: raised }])
  const pod = await kubernetes.read()
  t.strictSame(server.asked, [`PATCH ${path}?fieldManager=stoker&fieldValidation=Strict`])
  t.match(server.headers[0], {
    'content-type': 'application/strategic-merge-patch+json',
    accept: 'application/json',
    authorization: 'Bearer first',
  })
  t.strictSame(bodies, [{ metadata: { uid } }])
  t.match(pod, { uid, resourceVersion: '210', generation: 2, observedGeneration: 1 })
})

t.test(
  'a resize names the container, its memory as Kubernetes writes it, and nothing else',
  async t => {
    const { kubernetes, bodies } = await served(t, [{ status: 200, body: raised }])
    const container = (resources: object) => ({ containers: [{ name: 'torchserve', resources }] })
    await kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 5 * GiB })
    await kubernetes.resize({ requestBytes: 1 })
    await kubernetes.resize({ limitBytes: 5 * GiB }, { unchangedSince: '210' })
    t.strictSame(bodies, [
      {
        metadata: { uid },
        spec: container({ requests: { memory: '3Gi' }, limits: { memory: '5Gi' } }),
      },
      { metadata: { uid }, spec: container({ requests: { memory: '1' } }) },
      {
        metadata: { uid, resourceVersion: '210' },
        spec: container({ limits: { memory: '5Gi' } }),
      },
    ])
  },
)

t.test('what is no amount is not sent', async t => {
  const { kubernetes, server } = await served(t, [{ status: 200, body: raised }])
  for (const to of [
    {},
    { requestBytes: 0 },
    { limitBytes: -1 },
    { limitBytes: Number.NaN },
    { requestBytes: 1.5 },
  ]) {
    await t.rejects(kubernetes.resize(to), RangeError, JSON.stringify(to))
  }
  t.strictSame(server.asked, [])
})

t.test('the token is believed for a minute', async t => {
  const clock = virtualClock(1_000, 60)
  const { kubernetes, server, tokenFile } = await served(t, [{ status: 200, body: raised }], {
    clock,
  })
  await kubernetes.read()
  writeFileSync(tokenFile, 'second\n')
  await clock.advance(59_000)
  await kubernetes.read()
  await clock.advance(2_000)
  await kubernetes.read()
  t.strictSame(
    server.headers.map(({ authorization }) => authorization),
    ['Bearer first', 'Bearer first', 'Bearer second'],
  )
})

t.test(
  'a refused token is read again, and the call repeated once if there is a new one',
  async t => {
    const refused = capture('apiserver/237-bad-token')
    const answers = [refused, refused, { status: 200, body: raised }]
    const { kubernetes, server, tokenFile } = await served(
      t,
      answers.map(answer => ({
        body: 'response' in answer ? answer.response : answer.body,
        status: answer.status,
      })),
    )
    await t.rejects(kubernetes.read(), { code: 'KUBERNETES_UNAUTHORIZED', status: 401 })
    t.equal(server.asked.length, 1, 'the same token is not tried twice')
    writeFileSync(tokenFile, 'renewed')
    t.equal((await kubernetes.read()).uid, uid)
    t.strictSame(
      server.headers.map(({ authorization }) => authorization),
      ['Bearer first', 'Bearer first', 'Bearer renewed'],
    )
  },
)

t.test('a token file that is missing, empty or no token says so, without the token', async t => {
  const { kubernetes, tokenFile } = await served(t, [{ status: 200, body: raised }])
  writeFileSync(tokenFile, '')
  await t.rejects(kubernetes.read(), {
    code: 'KUBERNETES_TOKEN_UNREADABLE',
    message: /holds no token/,
  })
  writeFileSync(tokenFile, 'se cret')
  const error = await kubernetes.read().catch((caught: unknown) => String(caught))
  t.match(error, tokenFile)
  t.notMatch(error, /cret\b/)
  const missing = await served(t, [{ status: 200 }], { config: { tokenFile: '/nowhere/token' } })
  await t.rejects(missing.kubernetes.read(), {
    code: 'KUBERNETES_TOKEN_UNREADABLE',
    message: /ENOENT/,
  })
})

t.test('429 and 5xx tell when to come back', async t => {
  const busy = { kind: 'Status', message: 'Too many requests, please try again later.', code: 429 }
  const { kubernetes } = await served(t, [
    { status: 429, body: busy, headers: { 'retry-after': '7' } },
    { status: 429, body: 'Too many requests', headers: { 'retry-after': '1' } },
    { status: 503, body: 'apiserver is shutting down', headers: { 'retry-after': '5' } },
    { status: 503, body: 'maintenance', headers: { 'retry-after': '86400' } },
    { status: 500, body: { kind: 'Status', message: 'etcdserver: request timed out' } },
    { status: 500, headers: { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' } },
  ])
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_BUSY', retryAfterMs: 7_000 })
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_BUSY', retryAfterMs: 1_000 })
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_FAILED', retryAfterMs: 5_000 })
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_FAILED', retryAfterMs: 300_000 })
  await t.rejects(kubernetes.read(), {
    code: 'KUBERNETES_FAILED',
    message: /etcdserver/,
    retryAfterMs: undefined,
  })
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_FAILED', retryAfterMs: undefined })
})

t.test('no answer in time, and nobody there', async t => {
  const silent = await served(t, [], { config: { timeoutMs: 100 } })
  await t.rejects(silent.kubernetes.resize({ requestBytes: GiB }), {
    code: 'KUBERNETES_TIMEOUT',
    message: new RegExp(`PATCH https://127.0.0.1:\\d+${path}: no answer within 100 ms`),
  })
  await until(() => silent.server.open.size === 0)
  const broken = await listen(t, request => request.socket.destroy(), { tls: true })
  const { kubernetes } = await served(t, [], { config: { port: Number(broken.url.port) } })
  await t.rejects(kubernetes.resize({ requestBytes: GiB }), { code: 'KUBERNETES_UNREACHABLE' })
  const nobody = await served(t, [], { config: { port: 1 } })
  await t.rejects(nobody.kubernetes.read(), {
    code: 'KUBERNETES_UNREACHABLE',
    message: /ECONNREFUSED/,
  })
})

t.test('a certificate of another CA, and a server without TLS', async t => {
  const folder = t.testdir({ 'ca.crt': '' })
  const { kubernetes } = await served(t, [], { config: { caFile: `${folder}/ca.crt` } })
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_TLS', message: /ca\.crt/ })
  const plain = await listen(t, (_, response) => reply(response, { status: 200, body: raised }))
  const other = await served(t, [], { config: { port: Number(plain.url.port) } })
  await t.rejects(other.kubernetes.read(), { code: 'KUBERNETES_TLS' })
})

t.test('an API server with an IPv6 address', async t => {
  const { kubernetes, server } = await served(t, [{ status: 200, body: raised }], {
    config: { host: '::1' },
  })
  t.match(kubernetes.url, /^https:\/\/\[::1\]:\d+\/api/)
  // The server listens on IPv4 only: what is refused there was dialled rightly.
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_UNREACHABLE', message: /::1/ })
  t.strictSame(server.asked, [])
})

t.test('what is no Kubernetes', async t => {
  const { kubernetes } = await served(t, [
    { status: 200, body: '<html>login</html>' },
    { status: 200, body: { kind: 'Table' } },
    { status: 302, headers: { location: '/login' } },
    { status: 403, body: '<html>blocked by proxy</html>' },
    { status: 404, body: '404 page not found' },
    { status: 200, body: `"${'a'.repeat(1_048_576)}"` },
  ])
  for (let call = 0; call < 5; call++) {
    await t.rejects(kubernetes.read(), { code: 'KUBERNETES_NOT_KUBERNETES' })
  }
  await t.rejects(kubernetes.read(), { code: 'KUBERNETES_REPLY_TOO_LARGE' })
})

t.test('a pod without the container', async t => {
  const { kubernetes } = await served(t, [{ status: 200, body: raised }], {
    config: { container: 'main' },
  })
  await t.rejects(kubernetes.read(), {
    code: 'RESIZE_CONTAINER_UNKNOWN',
    message: /no container main, but torchserve, agent/,
  })
})
