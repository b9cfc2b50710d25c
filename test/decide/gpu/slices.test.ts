/** Goal: with several slices in one place, of which nobody tells which is used, none runs out. Method: simulated slices. */
import t from 'tap'
import { GpuWorld, MIB, type Device } from './world.ts'

const slice: Device = { totalMib: 9_984 }
const beside = (freeMib: number): Device => ({
  ...slice,
  beside: [{ totalMib: 4_864, usedMib: 4_864 - freeMib }],
})
const policy = { gpuWorkerMemory: 1_000 * MIB }
const model = { key: 'm', workers: 1, needMib: 1_000, rate: 200, policy }
const landingOf = (world: GpuWorld) => world.last('m').inputs.gpu

t.test('the fullest slice of a place counts', async t => {
  const full = new GpuWorld([beside(1_600)], [model])
  full.run(60)
  t.equal(full.pool('m').workers.length, 1, 'there is room on the other one, but nobody knows')
  t.match(full.last('m').reason, 'gpu_full')
  // 512 MiB stay free, and 15 % more than the need must fit.
  t.match(landingOf(full), { fits: 0, freeBytes: (1_600 - 512) * MIB })
  t.same(landingOf(full)?.landing, ['GPU-0+0', 'GPU-0'])
  const room = new GpuWorld([beside(1_700)], [model])
  t.ok(room.run(60).pool('m').workers.length > 1)
})

t.test('the slice that is used is filled to the last worker that fits, and no further', async t => {
  const world = new GpuWorld([beside(4_000)], [model])
  world.run(400)
  t.equal(world.outOfMemory, 0)
  t.equal(world.pool('m').workers.length, 9, 'a tenth would leave less than 512 MiB')
  t.match(world.last('m').reason, 'gpu_full')
})

t.test('the places of two cards are not added up', async t => {
  const world = new GpuWorld([beside(4_000), beside(1_600)], [{ ...model, workers: 2 }])
  world.run(60)
  t.equal(world.pool('m').workers.length, 2)
  t.match(landingOf(world), { fits: 0, freeBytes: (1_600 - 512) * MIB }, 'the turn is not known')
})
