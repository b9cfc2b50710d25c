/** Goal: models on one GPU do not each count all of its room as theirs when the load is told in pods. Method: simulated cards. */
import t from 'tap'
import { GpuWorld, MIB } from './world.ts'

/** Beside one worker of each there is room for one more: 2.9 GiB are left, and 15 % more than 2 GiB must fit. */
const card = { totalMib: 7_600 }
const model = { workers: 1, needMib: 2_048, policy: { gpuWorkerMemory: 2_048 * MIB } }
const inPods = (...rates: readonly number[]) => {
  const models = rates.map((rate, at) => ({ key: `m${at}`, ...model, rate }))
  const world = new GpuWorld([card], models).run(90)
  return { world, demand: world.podDemand ?? Number.NaN }
}

t.test('the room is counted once, whoever could have it', async t => {
  const { demand: alone, world } = inPods(0.15, 0)
  t.match(world.last('m0').inputs, { listed: 1, usable: 2 })
  const { demand: both, world: shared } = inPods(0.15, 0.15)
  t.match(shared.last('m0').inputs, { listed: 1, usable: 2 })
  t.match(shared.last('m1').inputs, { listed: 1, usable: 2 })
  t.ok(both > 1.5 * alone, `${both} and not ${alone}: the second worker can be had by one of them`)
})

t.test('what finds no room is for another pod', async t => {
  const { demand, world } = inPods(6, 6)
  t.equal(world.outOfMemory, 0)
  t.equal(
    world.pools.flatMap(({ workers }) => workers).length,
    3,
    'two of one and one of the other',
  )
  t.ok(demand > 1, `${demand}`)
})

t.test(
  'a first worker counts as fitting, so that pods are never asked for without end',
  async t => {
    const none = { key: 'b', ...model, workers: 0, rate: 2, device: 'gpu' } as const
    const world = new GpuWorld([{ totalMib: 3_300 }], [{ key: 'a', ...model, rate: 2 }, none])
    world.run(90)
    t.match(world.last('b').reason, 'gpu_full')
    t.ok((world.podDemand ?? 99) < 5, `${world.podDemand}`)
  },
)
