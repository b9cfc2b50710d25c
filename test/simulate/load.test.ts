import t, { type Test } from 'tap'
import { virtualClock, type VirtualClock } from '../../src/simulate/clock.ts'
import { openLoop, phases, type LoadOptions } from '../../src/simulate/load.ts'
import { startTorchServe, type Emulation } from '../../src/simulate/torchserve.ts'
import type { ModelOptions } from '../../src/simulate/torchserve/options.ts'

/** An emulation on a virtual clock that has time for sockets. */
async function serve(
  t: Test,
  model: Partial<ModelOptions>,
): Promise<{ clock: VirtualClock; emulation: Emulation }> {
  const clock = virtualClock(0, 8)
  const emulation = await startTorchServe({ clock, models: [{ name: 'm', ...model }] })
  t.teardown(() => emulation.close())
  await clock.advance(1_000)
  return { clock, emulation }
}

/** Load on the model for `forMs` of the clock, a millisecond at a time; its totals. */
async function run(
  { clock, emulation }: { clock: VirtualClock; emulation: Emulation },
  forMs: number,
  options: Partial<LoadOptions>,
) {
  const stop = new AbortController()
  const url = `${emulation.inferenceUrl}/predictions/m`
  const rate = () => 50
  const totals = openLoop({ url, rate, clock, seed: 1, signal: stop.signal, ...options })
  for (let ms = 0; ms < forMs; ms++) await clock.advance(1)
  stop.abort()
  return totals
}

t.test('arrivals are those of a Poisson process and do not wait for answers', async t => {
  const world = await serve(t, { workers: 1, serviceMs: 5_000, queueSize: 1_000 })
  const { clock, emulation } = world
  const arrivals: number[] = []
  const { infer } = emulation.core
  emulation.core.infer = target => {
    arrivals.push(clock.now())
    return infer.call(emulation.core, target)
  }
  const totals = await run(world, 4_000, {})
  t.match(totals, { ok: 0, shed: 0 })
  t.ok(arrivals.length > 170 && arrivals.length < 230, `${arrivals.length} arrivals`)
  const gaps = arrivals.slice(1).map((atMs, place) => atMs - (arrivals[place] ?? 0))
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
  t.ok(deviation / mean > 0.8 && deviation / mean < 1.2, `${deviation} around ${mean}`)
})

t.test('each fate is counted, with the time it took', async t => {
  const served = await run(await serve(t, { workers: 8, serviceMs: 40 }), 500, {})
  t.ok(served.ok > 10)
  t.match(served, { failed: 0, refused: 0, reset: 0, timeout: 0, shed: 0 })
  t.ok(served.latencyMs / served.ok >= 40 && served.latencyMs / served.ok < 60)

  const none = await run(await serve(t, { workers: 0 }), 300, {})
  t.ok(none.failed > 5 && none.ok === 0)

  const slow = await run(await serve(t, { serviceMs: 10_000 }), 500, { timeoutMs: 100 })
  t.ok(slow.timeout > 5 && slow.ok === 0)

  const crowded = await run(await serve(t, { serviceMs: 10_000 }), 500, { outstanding: 3 })
  t.ok(crowded.shed > 5 && crowded.timeout === 0)

  const world = await serve(t, {})
  const seen: unknown[] = []
  await world.emulation.close()
  const url = `${world.emulation.inferenceUrl}/predictions/m`
  const dead = await run(world, 300, { url, onResult: result => seen.push(result) })
  t.equal(seen.length, dead.reset)
  t.match(seen[0], { fate: 'reset', status: undefined })
})

t.test('an unknown model is refused, not failed', async t => {
  const world = await serve(t, {})
  const url = `${world.emulation.inferenceUrl}/predictions/z`
  const totals = await run(world, 200, { url })
  t.ok(totals.refused > 2 && totals.failed === 0)
})

t.test('phases follow each other, and again when they repeat', t => {
  const list = [
    { kind: 'calm', forMs: 100, rate: 1 },
    { kind: 'ramp', forMs: 100, from: 0, to: 10 },
    { kind: 'burst', forMs: 100, rate: 2, peak: 20, everyMs: 50, burstMs: 10 },
    { kind: 'step', forMs: 100, rate: 7 },
  ] as const
  const at = (rate: ReturnType<typeof phases>, times: number[]) => times.map(rate)
  const times = [0, 99, 100, 150, 200, 211, 255, 265, 399]
  const expected = [1, 1, 0, 5, 20, 2, 20, 2, 7]
  t.same(at(phases(list), times), expected)
  t.equal(phases(list)(400), 0)
  t.same(
    at(
      phases(list, { repeat: true }),
      times.map(ms => ms + 800),
    ),
    expected,
  )
  t.end()
})
