/** Goal: models on one GPU do not each count all of its room as theirs when the load is told in pods. Method: simulated cards. */
import t from 'tap'
import { GpuWorld, MIB } from './world.ts'

/** Beside one worker of each there is room for one more: 2.9 GiB are left, and 15 % more than 2 GiB must fit. */
const card = { totalMib: 7_600 }
const model = { workers: 1, needMib: 2_048, policy: { gpuWorkerMemory: 2_048 * MIB } }
/** Two workers of 100 ms are needed for it, and they can take a little more. */
const rate = 6

t.test('the room is counted once, whoever could have it', async t => {
  const alone = new GpuWorld(
    [card],
    [
      { key: 'a', ...model, rate },
      { key: 'b', ...model },
    ],
  )
  alone.run(90)
  t.ok((alone.podDemand ?? 0) < 1, `${alone.podDemand}: a second worker of a fits`)
  const both = new GpuWorld(
    [card],
    [
      { key: 'a', ...model, rate },
      { key: 'b', ...model, rate },
    ],
  )
  both.run(90)
  t.equal(both.outOfMemory, 0)
  t.same(
    both.pools.map(({ workers }) => workers.length).toSorted(),
    [1, 2],
    'and not a second one of each',
  )
  t.ok((both.podDemand ?? 0) > 1, `${both.podDemand}: what is left is for another pod`)
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
