import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { sendDecoy } from '../../src/clients/decoy.ts'
import { startTorchServe } from '../../src/simulate/torchserve.ts'
import type { ModelOptions } from '../../src/simulate/torchserve/options.ts'

const pool = { model: 'm', version: '1.0' }
const options = { headers: {}, ca: undefined, timeoutMs: 1_000 }

async function until(condition: () => boolean): Promise<boolean> {
  for (let i = 0; i < 300 && !condition(); i++) await new Promise(done => setTimeout(done, 5))
  return condition()
}

async function emulated(
  test: { teardown(end: () => unknown): unknown },
  model: Partial<ModelOptions> = {},
) {
  const emulation = await startTorchServe({
    models: [{ name: 'm', workers: 2, startMs: 1, loadMs: 1, ...model }],
    seed: 3,
  })
  test.teardown(() => emulation.close())
  const url = new URL(emulation.managementUrl)
  await until(() => JSON.stringify(emulation.core.describe({ model: 'm' })).includes('READY'))
  return { emulation, url }
}

t.test('it says that it is queued, and later how it was answered', async t => {
  const { url } = await emulated(t)
  const decoy = sendDecoy(url, pool, options)
  const { pending, workers } = await decoy.queued
  t.equal(workers.length, 2)
  t.ok(pending <= 1)
  t.ok(await until(() => decoy.answer !== undefined))
  t.same(decoy.answer, { status: 200, isHandlersError: false })
  decoy.close()
})

t.test('a handler that fails is told from a model without workers', async t => {
  const failing = await emulated(t, { describe: 'error' })
  const decoy = sendDecoy(failing.url, pool, options)
  t.ok(await until(() => decoy.answer !== undefined))
  t.match(decoy.answer, { status: 503, isHandlersError: true })
  decoy.close()
  const idle = await emulated(t)
  await idle.emulation.core.scale(pool, 0, 0)
  const nobody = sendDecoy(idle.url, pool, options)
  t.ok(await until(() => nobody.answer !== undefined))
  t.match(nobody.answer, { status: 503, isHandlersError: false })
  nobody.close()
})

t.test('a decoy that never gets there is told', async t => {
  const { emulation, url } = await emulated(t)
  emulation.core.freeze()
  await t.rejects(sendDecoy(url, pool, { ...options, timeoutMs: 50 }).queued, /no reply in time/)
  emulation.core.thaw()
  const closed = sendDecoy(url, pool, options)
  closed.close()
  await t.rejects(closed.queued, /closed/)
})

t.test('a reply without end is cut off', async t => {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n')
    socket.write(Buffer.alloc(1_200_000))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  await t.rejects(
    sendDecoy(new URL(`http://127.0.0.1:${port}`), pool, options).queued,
    /reply too large/,
  )
})
