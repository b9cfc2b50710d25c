/** Goal: a model without workers is not woken onto a GPU that has no room. Method: simulated cards, filled by others. */
import t from 'tap'
import { GpuWorld, type Device, type Model } from './world.ts'

/** Of 16 GiB, 819 MiB stay free; `freeMib` can be given out beside these. */
const card = (freeMib: number): Device => ({
  totalMib: 16_384,
  strangersMib: 16_384 - 820 - freeMib,
})
const asleep: Model = { key: 'm', workers: 0, needMib: 100, rate: 20, device: 'gpu' }
const still: Model = { key: 'still', workers: 1, needMib: 100, policy: { scale: false } }
const untold: Model = { ...asleep, device: undefined }
const workersOf = (world: GpuWorld) => world.pool('m').workers.length
const full = {
  reason: 'gpu_full',
  because: /Not done: 0\.1 GiB of GPU memory can be given out at the most, .* CUDA context/,
} as const

t.test('a model is not woken where no CUDA context fits, and is when one does', async t => {
  const device = card(100)
  const world = new GpuWorld([device], [asleep])
  world.run(30)
  t.equal(workersOf(world), 0)
  t.match(world.last('m'), full)
  device.strangersMib = 8_000
  t.ok(workersOf(world.run(15)) > 0)
})

t.test('where TorchServe does not say what it will run on, the GPUs of others tell', async t => {
  const world = new GpuWorld([card(200)], [untold, still])
  world.run(30)
  t.equal(workersOf(world), 0)
  t.match(world.last('m'), full)
})

t.test('a model on the CPU is woken, however full the GPU is', async t => {
  const told = new GpuWorld([card(100)], [{ ...asleep, needMib: 0, device: 'cpu' }, still])
  t.ok(workersOf(told.run(15)) > 0)
  t.equal(told.last('m').inputs.gpu, null)
})

t.test('what its workers showed counts for more than what TorchServe says', async t => {
  const world = new GpuWorld([card(300)], [{ ...asleep, needMib: 0, device: 'cpu', workers: 1 }])
  world.run(15)
  world.pool('m').workers.length = 0
  world.pool('m').device = undefined
  world.run(15)
  t.equal(world.last('m').inputs.gpu, null)
})

t.test('free memory that is known to be too little stops whoever grows unknown', async t => {
  const grows = { gpuMemoryUnknown: 'grow' } as const
  const world = new GpuWorld([card(100)], [{ ...asleep, policy: grows }])
  t.equal(workersOf(world.run(30)), 0)
  t.match(world.last('m'), full)
})

t.test('where nobody can tell, the first worker comes, and more only for who says so', async t => {
  for (const [gpuMemoryUnknown, more] of [
    ['hold', false],
    ['grow', true],
  ] as const) {
    const model = { ...asleep, rate: 100, policy: { gpuMemoryUnknown } }
    const world = new GpuWorld([{ totalMib: 16_384 }], [model])
    world.readable = false
    world.run(60)
    t.ok(workersOf(world) > 0, 'a model that nobody could ever wake would be no use')
    t.equal(workersOf(world) > 1, more, gpuMemoryUnknown)
  }
})

t.test('two models that are asked for in the same second do not share one room', async t => {
  const other = { ...asleep, key: 'n' }
  const world = new GpuWorld([card(800)], [{ ...asleep, needMib: 700 }, other])
  world.run(30)
  t.equal(world.outOfMemory, 0)
  t.equal(workersOf(world) + world.pool('n').workers.length, 1)
  t.match(world.last('n').reason, /^gpu_full$/)
})
