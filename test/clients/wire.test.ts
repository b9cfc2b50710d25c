import { copyFileSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { Wire, within, type Faults } from '../../src/clients/wire.ts'
import { wallClock } from '../../src/clock.ts'
import { caFile, listen, opened, portOf, send, until, type Answer } from './listen.ts'

const faults: Faults = {
  unreachable: 'TORCHSERVE_UNREACHABLE',
  timeout: 'TORCHSERVE_TIMEOUT',
  tls: 'TORCHSERVE_TLS',
  tooLarge: 'TORCHSERVE_REPLY_TOO_LARGE',
  notHttp: 'TORCHSERVE_NOT_TORCHSERVE',
}

/** Accepts, reads, and never says a word. */
const frozen = (socket: Socket) => void socket.resume()
const hello: Answer = (_, response) => send(response, 200, { hello: true })

function wireTo(
  t: Test,
  base: URL,
  options: { caFile?: string; maxBytes?: number; connectMs?: number } = {},
) {
  const wire = new Wire({
    base,
    faults,
    caFile: options.caFile,
    connectMs: options.connectMs ?? 1_000,
    maxBytes: options.maxBytes ?? 1_000,
    connections: 2,
  })
  t.teardown(() => wire.close())
  return (path = '/x', ms = 2_000) =>
    within({ clock: wallClock, ms, asked: `GET ${wire.url(path)}`, code: faults.timeout }, signal =>
      wire.call({ method: 'GET', path, signal }),
    )
}

t.test('a path is asked below the path of the base, and no password is told', async t => {
  const server = await listen(t, hello)
  const base = new URL(`${server.url.origin}/proxied/`)
  base.username = 'me'
  base.password = 'hunter2'
  const reply = await wireTo(t, base)('/models?limit=1')
  t.strictSame(server.asked, ['GET /proxied/models?limit=1'])
  t.equal(reply.asked, `GET ${server.url.origin}/proxied/models?limit=1`)
})

t.test('a frozen server takes one time limit a call, and connections do not pile up', async t => {
  const server = await opened(t, createServer(frozen))
  const ask = wireTo(t, server.url)
  const started = performance.now()
  for (let call = 0; call < 4; call++) {
    await t.rejects(ask('/models', 50), {
      code: 'TORCHSERVE_TIMEOUT',
      message: new RegExp(`GET ${server.url.origin}/models: no answer within 50 ms`),
    })
  }
  await Promise.all(Array.from({ length: 10 }, () => t.rejects(ask('/models', 50))))
  t.ok(performance.now() - started < 1_500)
  await until(() => server.open.size === 0)
  t.ok(server.most() <= 3, `at most 2 connections, and one closing; were ${server.most()}`)
})

t.test('the limit holds for the whole body, however steadily it drips', async t => {
  const server = await listen(t, (_, response) => {
    response.writeHead(200)
    const drip = setInterval(() => response.write('a'), 5)
    response.on('close', () => clearInterval(drip))
  })
  await t.rejects(wireTo(t, server.url)('/x', 100), { code: 'TORCHSERVE_TIMEOUT' })
  await until(() => server.open.size === 0)
})

t.test('a reply may have as many bytes as allowed and not one more', async t => {
  const server = await listen(t, (request, response) =>
    send(response, 200, 'a'.repeat(Number(request.url?.slice(1)))),
  )
  const ask = wireTo(t, server.url)
  t.equal((await ask('/1000')).body.length, 1_000)
  await t.rejects(ask('/1001'), {
    code: 'TORCHSERVE_REPLY_TOO_LARGE',
    message: /\/1001: larger than 1000 bytes/,
  })
})

t.test('nobody there', async t => {
  const { port } = await freePort()
  const refused = { code: 'TORCHSERVE_UNREACHABLE', message: /ECONNREFUSED/ }
  await t.rejects(wireTo(t, new URL(`http://127.0.0.1:${port}`))(), refused)
  await t.rejects(wireTo(t, new URL(`http://localhost:${port}`))(), refused)
})

/** Where nobody listens any more. */
async function freePort(): Promise<{ port: number }> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const port = portOf(server)
  await new Promise(resolve => server.close(resolve))
  return { port }
}

t.test('a connection that is cut, and one that talks something else', async t => {
  const cut = await opened(
    t,
    createServer(socket => socket.destroy()),
  )
  await t.rejects(wireTo(t, cut.url)(), { code: 'TORCHSERVE_UNREACHABLE' })
  const ssh = await opened(
    t,
    createServer(socket => socket.end('SSH-2.0-OpenSSH_9\r\n')),
  )
  await t.rejects(wireTo(t, ssh.url)(), {
    code: 'TORCHSERVE_NOT_TORCHSERVE',
    message: /is not HTTP/,
  })
})

t.test('TLS', async t => {
  const secure = await listen(t, hello, { tls: true })
  const plain = await listen(t, hello)

  t.equal((await wireTo(t, secure.url, { caFile })()).status, 200, 'TLS 1.2, trusted by IP')
  const byName = new URL(`https://localhost:${secure.url.port}`)
  t.equal((await wireTo(t, byName, { caFile })()).status, 200, 'and by name')
  await t.rejects(wireTo(t, secure.url)(), { code: 'TORCHSERVE_TLS', message: /self-signed/ })
  await t.rejects(
    wireTo(t, new URL(`https://127.0.0.1:${plain.url.port}`), { caFile })(),
    { code: 'TORCHSERVE_TLS' },
    'TLS spoken to a plain port',
  )
  const alert = Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46])
  const strict = await opened(
    t,
    createServer(socket => socket.end(alert)),
  )
  await t.rejects(
    wireTo(t, strict.url)(),
    { code: 'TORCHSERVE_TLS', message: /the answer is TLS/ },
    'plain HTTP spoken to a TLS port',
  )
  const silent = await opened(
    t,
    createServer(socket => socket.destroy()),
    'https',
  )
  await t.rejects(wireTo(t, silent.url)(), { code: 'TORCHSERVE_TLS' }, 'cut in the handshake')
})

t.test(
  'a CA file that is missing or no certificate is named, and used once it is right',
  async t => {
    const secure = await listen(t, hello, { tls: true })
    const path = `${t.testdir()}/ca.pem`
    const ask = wireTo(t, secure.url, { caFile: path })
    const named = { code: 'TORCHSERVE_TLS', message: new RegExp(path) }
    await t.rejects(ask(), named)
    writeFileSync(path, '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n')
    await t.rejects(ask(), named)
    copyFileSync(caFile, path)
    t.equal((await ask()).status, 200)
  },
)

t.test('a frozen TLS server holds no more connections than allowed', async t => {
  const server = await opened(t, createServer(frozen), 'https')
  const ask = wireTo(t, server.url, { caFile })
  await Promise.all(
    Array.from({ length: 6 }, () => t.rejects(ask('/x', 50), { code: 'TORCHSERVE_TIMEOUT' })),
  )
  t.ok(server.most() <= 2)
})

t.test('a handshake that never ends is given up on its own', async t => {
  const server = await opened(t, createServer(frozen), 'https')
  const ask = wireTo(t, server.url, { caFile, connectMs: 50 })
  await t.rejects(ask(), { code: 'TORCHSERVE_TIMEOUT', message: /Connect Timeout/ })
  await until(() => server.open.size === 0)
})

t.test('after closing, calls fail and do not wait', async t => {
  const server = await listen(t, hello)
  const wire = new Wire({
    base: server.url,
    faults,
    caFile: undefined,
    connectMs: 1_000,
    maxBytes: 10,
    connections: 1,
  })
  await wire.close()
  const { signal } = new AbortController()
  await t.rejects(wire.call({ method: 'GET', path: '/', signal }), {
    code: 'TORCHSERVE_UNREACHABLE',
  })
})
