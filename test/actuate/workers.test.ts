import t from 'tap'
import { StokerError } from '../../src/errors.ts'
import { clients, setUp } from './pool.ts'

t.test('an idle pool gives a worker up, and it held only our decoy', async t => {
  const { act, describe, signals } = await setUp(t)
  t.match(await act(), { kind: 'removed', sureness: 'retired' })
  t.equal((await describe()).workers.length, 3)
  t.ok(signals.some(({ signal }) => signal === 'SIGSTOP'))
})

t.test('under load nobody notices', async t => {
  const { act, allReady, ask, torchserve } = await setUp(t)
  let asked = 0
  const stop = clients(() => (asked++, ask()), 3, 60)
  let removed = 0
  for (let tries = 0; tries < 200 && (removed < 5 || asked < 20); tries++) {
    const outcome = await act()
    if (outcome?.kind !== 'removed') continue
    t.equal(outcome.sureness, 'retired')
    removed++
    await torchserve.scale({ model: 'm', version: '1.0' }, 4)
    await allReady()
  }
  const results = await stop()
  t.ok(removed >= 5 && results.length >= 20, `${removed} downs, ${results.length} requests`)
  t.same(
    results.filter(({ status }) => status !== 200),
    [],
  )
})

t.test('batches: none is left without an answer', async t => {
  const { act, ask } = await setUp(t, { model: { batchSize: 8, maxBatchDelayMs: 30 } })
  const stop = clients(ask, 4, 70)
  await act()
  await act()
  t.same(
    (await stop()).filter(({ status }) => status !== 200),
    [],
  )
})

t.test(
  'where no decoy can be proven to be held, the worker stays and is not left stopped',
  async t => {
    // A TorchServe that is never seen to stand still allows no proof.
    const { act, describe, signals } = await setUp(t, {
      hurry: 10,
      processes: real => ({ ...real, still: () => undefined }),
    })
    t.match(await act(), { kind: 'abandoned', why: /no moment/ })
    t.equal((await describe()).workers.length, 4)
    t.ok(signals.filter(({ signal }) => signal === 'SIGSTOP').length > 1, 'it was tried again')
    t.equal(signals.at(-1)?.signal, 'SIGCONT')
  },
)

t.test('a handler that answers decoys with an error gets no more of them after two', async t => {
  const { act, signals } = await setUp(t, { model: { describe: 'error' } })
  t.match(await act(), { kind: 'abandoned', why: /answered a decoy with 5/ })
  t.match(await act(), { kind: 'abandoned', why: /answered a decoy with 5/ })
  const before = signals.length
  t.match(await act(), { kind: 'removed', sureness: 'gap' })
  t.equal(signals.length, before, 'nobody is stopped any more')
})

t.test('without decoys the edge from busy to idle is used', async t => {
  const { act, ask, signals } = await setUp(t, { decoys: 'off' })
  const stop = clients(ask, 2, 60)
  t.match(await act(), { kind: 'removed', sureness: 'edge' })
  await stop()
  t.same(signals, [])
})

t.test(
  'workers on GPUs get no decoy: TorchServe would ask nvidia-smi for each of them',
  async t => {
    const { act, ask, signals } = await setUp(t, { model: { gpu: true }, decoys: 'on' })
    const stop = clients(ask, 2, 60)
    t.match(await act(), { kind: 'removed', sureness: 'edge' })
    await stop()
    t.same(signals, [])
    const batching = await setUp(t, { model: { gpu: true, batchSize: 8 } })
    t.match(await batching.act(), { kind: 'removed', sureness: 'gap' })
    t.same(batching.signals, [])
  },
)

t.test('without sight of the processes only a gap will do', async t => {
  const processes = () => ({
    look: () => 'hidden' as const,
    thread: () => undefined,
    siblings: () => [],
    use: () => undefined,
    still: () => undefined,
    isWorker: () => undefined,
    signal: () => false,
  })
  const quiet = await setUp(t, { processes })
  t.match(await quiet.act(), { kind: 'removed', sureness: 'gap' })
  let arrivals = 0
  const busy = await setUp(t, {
    processes,
    hurry: 10,
    torchserve: real => ({ ...real, arrivals: () => Promise.resolve(String(arrivals++)) }),
  })
  t.match(await busy.act(), { kind: 'abandoned', why: /never paused/ })
  const untold = await setUp(t, {
    processes,
    hurry: 10,
    torchserve: real => ({
      ...real,
      queue: async pool => ({ ...(await real.queue(pool)), pending: undefined }),
    }),
  })
  t.match(await untold.act(), { kind: 'abandoned' }, 'an unknown queue is not an empty one')
  for (const { describe } of [busy, untold]) t.equal((await describe()).workers.length, 4)
})

t.test('a worker that never served goes at once', async t => {
  const { act, torchserve, describe, signals } = await setUp(t)
  await torchserve.scale({ model: 'm', version: '1.0' }, 5)
  t.match(await act(), { kind: 'removed', sureness: 'never_served' })
  t.equal((await describe()).workers.length, 4)
  t.same(signals, [])
})

t.test('the list changes meanwhile: another worker would die, so none does', async t => {
  const { act, torchserve, describe } = await setUp(t, {
    torchserve: real => ({
      ...real,
      async sendDecoy(pool) {
        await torchserve.scale({ model: 'm', version: '1.0' }, 6)
        return real.sendDecoy(pool)
      },
    }),
  })
  t.match(await act(), { kind: 'abandoned', why: /list of workers changed/ })
  t.equal((await describe()).workers.length, 6)
})

t.test('nor does it in the ways without decoys', async t => {
  const blind = () => ({
    look: () => 'hidden' as const,
    thread: () => undefined,
    siblings: () => [],
    still: () => undefined,
    isWorker: () => undefined,
    signal: () => false,
    use: () => undefined,
  })
  for (const way of ['gap', 'edge'] as const) {
    let asked = 0
    const { act, ask, describe } = await setUp(t, {
      decoys: 'off',
      ...(way === 'gap' ? { processes: blind, hurry: 5 } : {}),
      torchserve: real => ({
        ...real,
        async arrivals(pool) {
          if (asked++ === 0) await real.scale({ model: 'm', version: '1.0' }, 6)
          return real.arrivals(pool)
        },
      }),
    })
    // In a pool that is busy now and then there is an edge to wait for; in an idle one a gap at once.
    const stop = clients(ask, way === 'gap' ? 0 : 2, 60)
    t.match(await act(), { kind: 'abandoned', why: /list of workers changed/ }, way)
    await stop()
    t.equal((await describe()).workers.length, 6)
  }
})

t.test('a PUT that fails is told, and the worker is not left stopped', async t => {
  const { act, emulation, allReady } = await setUp(t, {
    torchserve: real => ({
      ...real,
      scale: () => Promise.reject(new StokerError('TORCHSERVE_TIMEOUT', 'PUT')),
    }),
  })
  t.match(await act(), { kind: 'failed', code: 'TORCHSERVE_TIMEOUT', message: /PUT/ })
  for (const { pid } of await allReady()) t.not(emulation.processes.look(pid ?? 0), 'stopped')
})

t.test('workers that a dead agent left stopped are continued, once', async t => {
  const { actuator, emulation, describe } = await setUp(t)
  const { workers } = await describe()
  const pid = workers[1]?.pid ?? 0
  emulation.processes.signal(pid, 'SIGSTOP')
  actuator.adopt('m', workers)
  t.not(emulation.processes.look(pid), 'stopped')
  emulation.processes.signal(pid, 'SIGSTOP')
  actuator.adopt('m', workers)
  t.equal(emulation.processes.look(pid), 'stopped', 'what somebody stops later is theirs')
})

t.test('growth, roll-back and repair are PUTs', async t => {
  const { act, describe, allReady } = await setUp(t)
  t.match(await act({ kind: 'grow', to: 6 }), { kind: 'commanded' })
  t.equal((await allReady()).length, 6)
  t.match(await act({ kind: 'rollback', to: 5 }), { kind: 'commanded' })
  t.equal((await describe()).workers.length, 5)
  const before = new Set((await describe()).workers.map(({ id }) => id))
  t.match(await act({ kind: 'repair', to: 2 }), { kind: 'commanded' })
  t.ok(
    (await allReady()).every(({ id }) => !before.has(id)),
    'all new',
  )
})

t.test('advising changes nothing', async t => {
  const asked: unknown[] = []
  const { act, signals } = await setUp(t, {
    advise: true,
    torchserve: real => ({
      ...real,
      scale: (...what) => (asked.push(what), real.scale(...what)),
      sendDecoy: pool => (asked.push(pool), real.sendDecoy(pool)),
    }),
  })
  t.match(await act(), { kind: 'advised' })
  t.match(await act({ kind: 'grow', to: 9 }), { kind: 'advised' })
  t.same([asked, signals], [[], []])
})

t.test('a pool with a change under way takes no second one', async t => {
  const { actuator, describe } = await setUp(t)
  const description = await describe()
  const pool = description.id
  const shrink = { kind: 'shrink', pool, key: 'm', from: 4, to: 3 } as const
  const grow = { kind: 'grow', pool, key: 'm', from: 4, to: 6 } as const
  actuator.start(shrink, { description, serviceMs: 40 })
  actuator.start(grow, { description, serviceMs: 40 })
  await actuator.settled()
  const outcomes = actuator.outcomes()
  t.match(outcomes, [
    { action: grow, kind: 'failed', code: 'ACTION_FAILED', message: /earlier change/ },
    { action: shrink },
  ])
  t.ok((await describe()).workers.length <= 4)
})
