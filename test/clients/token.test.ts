import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { KeyFile, type KeyKind } from '../../src/clients/token.ts'
import { StokerError } from '../../src/errors.ts'

const startMs = Date.parse('2026-11-24T05:00:00Z')

/** A key file as TorchServe writes it: nine digits of a second, pretty-printed without a last newline. */
function content(keys: { management: string; inference?: string; lifeS?: number; at?: number }) {
  const { management, inference = 'inf00001', lifeS = 3600, at = startMs } = keys
  return format({
    management: entry(management, lifeS, at),
    inference: entry(inference, lifeS, at),
  })
}

function entry(key: string, lifeS: number, at: number) {
  const expiry = new Date(at + lifeS * 1000).toISOString().replace(/(\d{3})Z$/, '$1105871Z')
  return { key, 'expiration time': expiry }
}

function format(keys: object) {
  return JSON.stringify({ ...keys, API: { key: 'api-key1' } }, null, 2)
}

/** A key file on disk and a TorchServe that renews it, on a clock moved by hand. */
function setUp(t: Test, text: string | undefined, lifeS = 3600) {
  const path = `${t.testdir()}/key_file.json`
  if (text !== undefined) writeFileSync(path, text)
  const state = {
    nowMs: startMs,
    renewed: [] as KeyKind[],
    onSleep: (_sleeps: number) => {},
    fails: undefined as StokerError | undefined,
    writes: true,
  }
  let sleeps = 0
  const file = new KeyFile({
    path,
    clock: {
      now: () => state.nowMs,
      sleep: async ms => {
        state.nowMs += ms
        state.onSleep(++sleeps)
      },
    },
    renew: async (kind, apiKey) => {
      t.equal(apiKey, 'api-key1')
      state.renewed.push(kind)
      await new Promise(resolve => setTimeout(resolve, 5))
      if (state.fails) throw state.fails
      const key = `${kind.slice(0, 3)}0000${state.renewed.length + 1}`
      const old: object = JSON.parse(readFileSync(path, 'utf8'))
      const keys = { ...old, [kind]: entry(key, lifeS, state.nowMs) }
      if (state.writes) writeFileSync(path, format(keys))
    },
  })
  const header = async (kind: KeyKind = 'management') =>
    (await file.authorization(kind))['Authorization']
  return { path, file, state, header }
}

t.test('without a key file there is no header', async t => {
  const clock = { now: () => 0, sleep: async () => {} }
  const file = new KeyFile({ path: undefined, clock, renew: async () => {} })
  t.strictSame(await file.authorization('management'), {})
})

t.test('each port has its key, behind a Bearer with a capital B', async t => {
  const { header } = setUp(t, content({ management: 'B-E5KSRM', inference: 'gNRuA7dS' }))
  t.equal(await header('management'), 'Bearer B-E5KSRM')
  t.equal(await header('inference'), 'Bearer gNRuA7dS')
})

t.test('a file that changed is read again, one that did not is not', async t => {
  const { path, file, header } = setUp(t, content({ management: 'first000' }))
  t.equal(await header(), 'Bearer first000')
  const { atime, mtime } = statSync(path)
  writeFileSync(path, content({ management: 'second00' }))
  t.equal(await header(), 'Bearer second00')

  utimesSync(path, atime, mtime)
  await header()
  writeFileSync(path, content({ management: 'third000' }))
  utimesSync(path, atime, mtime)
  t.equal(await header(), 'Bearer second00', 'same size and time: looks unchanged')
  file.forget()
  t.equal(await header(), 'Bearer third000')
})

t.test('a file seen while TorchServe rewrites it is read again', async t => {
  const { path, state, header } = setUp(t, '')
  state.onSleep = sleeps => {
    if (sleeps === 2) writeFileSync(path, '{"management": {"key": "cut')
    if (sleeps === 3) writeFileSync(path, content({ management: 'whole000' }))
  }
  t.equal(await header(), 'Bearer whole000')
  t.ok(state.nowMs - startMs <= 50, 'within 50 ms')
})

t.test('a file that cannot be used is named, its content is not', async t => {
  const secret = 'sEcReT99'
  const cases: [string | undefined, RegExp][] = [
    [undefined, /ENOENT/],
    ['', /is empty/],
    [secret, /is not a key file of TorchServe/],
    [`{"management": {"key": "${secret}`, /is not a key file of TorchServe/],
    [`{"management": {"key": "${secret} with spaces"}}`, /is not a key file/],
    [`["${secret}"]`, /is not a key file/],
    [`{"inference": {"key": "${secret}"}}`, /has no management key/],
    ['x'.repeat(70_000), /70000 bytes are too many/],
  ]
  for (const [text, message] of cases) {
    const { path, header } = setUp(t, text)
    const error = await header().catch((reason: unknown) => reason)
    t.match(error, { code: 'KEY_FILE_UNREADABLE', message })
    t.match(error, { message: new RegExp(path) })
    t.notMatch(error, { message: new RegExp(secret) })
    rmSync(path, { force: true })
  }
})

t.test('a token is renewed a minute before it expires, and not sooner', async t => {
  const { state, header } = setUp(t, content({ management: 'man00001', lifeS: 3600 }))
  await header()
  state.nowMs = startMs + 3_539_000
  t.equal(await header(), 'Bearer man00001')
  t.strictSame(state.renewed, [])
  state.nowMs = startMs + 3_540_500
  t.equal(await header(), 'Bearer man00002')
  t.equal(await header(), 'Bearer man00002')
  t.strictSame(state.renewed, ['management'], 'once, and the inference key is left alone')
})

t.test('of a short life the last fifth is enough', async t => {
  const { state, header } = setUp(t, content({ management: 'man00001', lifeS: 12 }), 12)
  await header()
  state.nowMs = startMs + 9_000
  await header()
  t.strictSame(state.renewed, [])
  state.nowMs = startMs + 9_700
  await header()
  t.strictSame(state.renewed, ['management'])
})

t.test('callers at once renew once; both kinds one after the other', async t => {
  const { state, header } = setUp(t, content({ management: 'man00001', lifeS: 60 }))
  state.nowMs = startMs + 61_000
  const kinds: KeyKind[] = ['management', 'inference', 'management', 'inference', 'management']
  const headers = await Promise.all(kinds.map(kind => header(kind)))
  t.strictSame(state.renewed.toSorted(), ['inference', 'management'])
  t.equal(headers[0], headers[2])
  t.match(headers[0], /^Bearer man0000/)
  t.match(headers[3], /^Bearer inf0000[23]/)
})

t.test('a token that somebody else renewed is taken as it is', async t => {
  const { path, state, header } = setUp(t, content({ management: 'man00001', lifeS: 60 }))
  await header()
  state.nowMs = startMs + 61_000
  writeFileSync(path, content({ management: 'theirs00', lifeS: 60, at: state.nowMs }))
  t.equal(await header(), 'Bearer theirs00')
  t.strictSame(state.renewed, [])
})

t.test(
  'a renewal that fails is not repeated for 5 s, and matters once the token is dead',
  async t => {
    const { state, header } = setUp(t, content({ management: 'man00001', lifeS: 60 }))
    await header()
    state.fails = new StokerError('TORCHSERVE_TIMEOUT', 'GET /token: no answer')
    state.nowMs = startMs + 50_000
    t.equal(await header(), 'Bearer man00001', 'still good')
    state.nowMs = startMs + 54_000
    t.equal(await header(), 'Bearer man00001')
    t.equal(state.renewed.length, 1)
    state.nowMs = startMs + 61_000
    await t.rejects(header(), { code: 'TORCHSERVE_TIMEOUT' })
    t.equal(state.renewed.length, 2)
    await t.rejects(header(), { code: 'TORCHSERVE_TIMEOUT' })
    t.equal(state.renewed.length, 2)
    state.fails = undefined
    state.nowMs = startMs + 67_000
    t.match(await header(), /^Bearer man0000/)
  },
)

t.test('a copy of the key file that TorchServe does not write is found out', async t => {
  const { path, state, header } = setUp(t, content({ management: 'man00001', lifeS: -1 }))
  state.writes = false
  await t.rejects(header(), {
    code: 'TORCHSERVE_UNAUTHORIZED',
    message: new RegExp(`${path} still holds the old one`),
  })
})

t.test('without an API key or a readable expiry nothing is renewed', async t => {
  const noApi = setUp(
    t,
    '{"management": {"key": "old00000", "expiration time": "2020-01-01T00:00:00Z"}}',
  )
  t.equal(await noApi.header(), 'Bearer old00000')
  const noTime = setUp(
    t,
    '{"management": {"key": "odd00000", "expiration time": "soon"}, "API": {"key": "api-key1"}}',
  )
  t.equal(await noTime.header(), 'Bearer odd00000')
  t.strictSame([...noApi.state.renewed, ...noTime.state.renewed], [])
})
