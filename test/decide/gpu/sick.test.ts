/** Goal: a sick GPU holds those up who may land on it, and nobody else. Method: simulated cards, one of them sick. */
import t from 'tap'
import { GpuWorld, MIB, type Device } from './world.ts'

const trouble = 'nvidia-smi says of GPU-1: Unknown Error'
const unknown = { totalBytes: undefined, usedBytes: undefined, freeBytes: undefined }
const sick: Device = { totalMib: 16_384, told: { ...unknown, trouble } }
const well: Device = { totalMib: 16_384 }
const policy = { gpuWorkerMemory: 1_000 * MIB }
const count = (world: GpuWorld, key: string) => world.pool(key).workers.length

// The simulated TorchServe starts with GPU 1.
t.test('where the turn is unknown, a model goes where its workers are', async t => {
  const still = { needMib: 1_000, policy: { scale: false } }
  const world = new GpuWorld(
    [well, sick],
    [
      { key: 'on-1', workers: 1, needMib: 1_000, rate: 30, policy },
      { key: 'on-0', workers: 1, needMib: 1_000, rate: 30, policy },
      { key: 'still', workers: 0, ...still },
    ],
  )
  world.run(2)
  t.match(world.last('on-1'), { reason: 'gpu_unhealthy', because: new RegExp(trouble) })
  const first = world.decisions.find(({ action }) => action)
  t.match(first, { key: 'on-0' }, 'its neighbour grows')
  t.same(first?.inputs.gpu?.landing, ['GPU-0'])
})

t.test('a model without workers may land anywhere', async t => {
  const asleep = { key: 'm', workers: 0, needMib: 1_000, rate: 30, policy, device: 'gpu' } as const
  const world = new GpuWorld([well, sick], [asleep])
  t.equal(count(world.run(20), 'm'), 0)
  t.match(world.last('m').reason, 'gpu_unhealthy')
})

t.test('where the turn is known, only who would land on it is held', async t => {
  const device = { ...well }
  const world = new GpuWorld(
    [well, device, well],
    [{ key: 'm', workers: 1, needMib: 1_000, rate: 15, policy }],
  )
  t.equal(count(world.run(20), 'm'), 4, 'on GPUs 1, 2, 0 and 1')
  device.told = sick.told ?? {}
  world.pool('m').rate = 45
  world.run(30)
  t.match(world.last('m').reason, 'gpu_unhealthy')
  t.equal(count(world, 'm'), 6, 'up to the turn of GPU 1')
})
