/** Goal: a GPU whose activity is known says how soon a growth without gain is believed; an unknown one says nothing. */
import t from 'tap'
import { pulseOf } from '../../../src/decide/gpu/activity.ts'
import type { Place } from '../../../src/decide/gpu/places.ts'
import { GpuWorld, MIB, type Device } from './world.ts'

const card = { totalMib: 81_920, fullWith: 4 }
const told = { ...card, tellsActivity: true }
/** As on MIG, where only the throughput tells. */
const untold = { ...card, tellsActivity: false }
/** Full of strangers’ work, for all that is known. */
const shared = { ...told, told: { sharing: 'time-slicing' } } as const
const gpuWorkerMemory = 1_000 * MIB

/** Four workers of two seconds on a GPU that is full with four. */
function full(device: Device) {
  const policy = { minWorkers: 4, maxWorkers: 20, gpuWorkerMemory }
  const slow = { key: 'm', workers: 4, needMib: 1_000, rate: 1.95, serviceMs: 2_000, policy }
  return new GpuWorld([device], [slow]).run(130)
}

/** Three workers and then a load for eight; the requests of a new one are slow for nine seconds. */
function warmingUp(device: Device) {
  const policy = { minWorkers: 3, maxWorkers: 20, gpuWorkerMemory }
  const warmUp = { factor: 20, ms: 9_000 }
  const one = { key: 'm', workers: 3, needMib: 1_000, rate: 20, warmUp, policy }
  const world = new GpuWorld([device], [one]).run(30)
  world.pool('m').rate = 60
  return world.run(200)
}

const seconds = ({ decisions, startMs }: GpuWorld, reason: string) => {
  const atMs = decisions.find(decision => decision.reason === reason)?.atMs
  return atMs === undefined ? Infinity : (atMs - startMs) / 1_000
}
const workers = (world: GpuWorld) => world.pool('m').workers.length

t.test('a GPU that was full before and since explains a missing gain at once', async t => {
  const world = full(told)
  t.ok(seconds(world, 'at_knee') <= 15)
  t.equal(workers(world), 4)
  t.match(world.last('m'), {
    reason: 'at_knee',
    because: /5 workers served no more than 4, with a GPU that was busy 98 % of the time/,
  })
})

t.test('where the activity is not known the throughput finds the same, later', async t => {
  for (const device of [untold, shared]) {
    const world = full(device)
    t.ok(seconds(world, 'at_knee') > 30)
    t.ok(workers(world) <= 6)
    t.match(world.last('m'), { reason: 'at_knee', because: /served no more than \d: more would/ })
  }
})

t.test('an idle GPU does not explain it: slow first requests are waited for', async t => {
  const world = warmingUp({ ...told, fullWith: 40 })
  t.equal(seconds(world, 'knee'), Infinity)
  t.ok(workers(world) >= 8)
  const blind = warmingUp({ ...untold, fullWith: 40 })
  t.ok(seconds(blind, 'knee') < 60, 'without knowing it they look like workers of no use')
})

t.test('what is no use on an idle GPU is believed in the end', async t => {
  const locked = { key: 'm', workers: 1, needMib: 1_000, rate: 40, policy: { gpuWorkerMemory } }
  // Behind a lock outside the GPU: two are served as one is, and the GPU is told to be idle.
  const device = { ...card, fullWith: 1, told: { activity: 0.3 } }
  const world = new GpuWorld([device], [locked]).run(100)
  t.ok(seconds(world, 'knee') > 30)
  t.equal(workers(world), 1)
  t.match(world.last('m').because, /with a GPU that was busy 30 % of the time/)
})

t.test('the activity is that of the GPUs of the pool’s own workers, and never guessed', async t => {
  const place = (ordinal: number, activity: number | undefined, isShared = false): Place => ({
    ordinal,
    ids: [`GPU-${ordinal}`],
    totalBytes: undefined,
    usedBytes: undefined,
    freeBytes: undefined,
    activity,
    shared: isShared,
    source: 'nvidia_smi',
    trouble: undefined,
    atMs: 10 - ordinal,
  })
  const on = (gpuId: number) => ({
    id: String(gpuId),
    pid: undefined,
    ready: true,
    alive: undefined,
    gpu: true,
    use: undefined,
    memoryBytes: undefined,
    gpuUse: { gpuId, usedBytes: undefined, activity: undefined },
  })
  const places = [place(0, 1), place(1, 0.5), place(2, undefined), place(3, 1, true)]
  t.same(pulseOf([on(0)], places), { share: 1, atMs: 10 })
  t.same(pulseOf([on(0), on(1), on(1)], places), { share: 0.75, atMs: 9 })
  t.equal(pulseOf([on(0), on(2)], places), undefined, 'of one of them it is not known')
  t.equal(pulseOf([on(0), on(3)], places), undefined, 'one of them is shared')
  t.equal(pulseOf([], places), undefined)
  t.equal(pulseOf([on(0)], undefined), undefined)
})
