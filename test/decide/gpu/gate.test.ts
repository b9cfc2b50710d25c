/** Goal: GPU memory is never over-committed, and used up to the last worker that fits. Method: simulated cards, and chance. */
import fc from 'fast-check'
import t from 'tap'
import { GpuWorld, MIB, type Device } from './world.ts'

const a100: Device = { totalMib: 81_920, reservedMib: 869 }
/** What nvidia-smi shows of a 1g.10gb on an H100. */
const slice: Device = {
  totalMib: 9_984,
  told: { id: 'GPU-0/9', mig: { gpuInstance: 9, profile: '1g.10gb' } },
}

/** Whether the rule leaves no room for one more: 15 % above the need, and 512 MiB or 5 % free. */
function isFull({ reservedMib = 0, totalMib }: Device, usedMib: number, needMib: number): boolean {
  const margin = Math.max(512, 0.05 * totalMib)
  return totalMib - reservedMib - usedMib - margin < 1.15 * needMib
}

for (const [name, device, needMib] of [
  ['an 80 GB card', a100, 1_868],
  ['a 1g.10gb slice', slice, 1_868],
  ['a 1g.10gb slice, small workers', slice, 300],
] as const) {
  t.test(`${name} is filled to the last worker that fits`, async t => {
    const world = new GpuWorld([device], [{ key: 'm', workers: 1, needMib, rate: 600 }])
    world.run(400)
    t.equal(world.outOfMemory, 0)
    t.ok(isFull(device, world.usedMib(0), needMib), `${world.pool('m').workers.length} workers`)
    t.match(world.last('m'), {
      reason: 'gpu_full',
      because:
        /Not done: \d+\.\d GiB of GPU memory can be given out, and a worker takes 0|1\.\d GiB/,
      inputs: { gpu: { fits: 0, guessed: false, source: 'nvidia_smi', activity: null } },
    })
  })
}

t.test('whatever workers need and however late the numbers are, nothing runs out', t => {
  const model = fc.record({
    needMib: fc.integer({ min: 200, max: 6_000 }),
    loadShare: fc.double({ min: 0.5, max: 1, noNaN: true }),
    rate: fc.integer({ min: 20, max: 400 }),
    loadMs: fc.integer({ min: 1, max: 30_000 }),
  })
  fc.assert(
    fc.property(
      fc.constantFrom<Device>(a100, slice),
      model,
      fc.integer({ min: 1_000, max: 20_000 }),
      (device, one, readEveryMs) => {
        const world = new GpuWorld([device], [{ key: 'm', workers: 1, ...one }])
        world.readEveryMs = readEveryMs
        world.run(600)
        if (world.outOfMemory > 0) throw new Error('out of memory')
        const { because, reason } = world.last('m')
        const full = isFull(device, world.usedMib(0), one.needMib)
        if (reason.startsWith('gpu') && !full) throw new Error(`room is left: ${because}`)
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('several models on several GPUs never ask for more than there is', t => {
  const model = fc.record({
    workers: fc.integer({ min: 0, max: 2 }),
    needMib: fc.integer({ min: 200, max: 2_400 }),
    loadShare: fc.double({ min: 0.8, max: 1, noNaN: true }),
    rate: fc.integer({ min: 0, max: 200 }),
    // Some load while others are decided on, and what some need is known before.
    loadMs: fc.integer({ min: 1, max: 30_000 }),
    isKnown: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(model, { minLength: 2, maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1_000, max: 20_000 }),
      (models, gpus, readEveryMs) => {
        const devices = Array.from({ length: gpus }, () => ({ totalMib: 16_384 }))
        const world = new GpuWorld(
          devices,
          models.map(({ isKnown, ...one }, at) => {
            const known = isKnown ? { gpuWorkerMemory: one.needMib * MIB } : {}
            return { key: `m${at}`, ...one, policy: known }
          }),
        )
        world.readEveryMs = readEveryMs
        world.run(400)
        if (world.outOfMemory > 0) throw new Error('out of memory')
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('two models that want to grow in the same second share what is left', async t => {
  const model = { workers: 1, needMib: 3_000, rate: 100, policy: { gpuWorkerMemory: 3_000 * MIB } }
  const world = new GpuWorld(
    [slice],
    [
      { key: 'a', ...model },
      { key: 'b', ...model },
    ],
  )
  world.run(60)
  t.equal(world.outOfMemory, 0)
  t.equal(world.pool('a').workers.length + world.pool('b').workers.length, 3)
  t.match([world.last('a').reason, world.last('b').reason], ['gpu_full', 'gpu_full'])
})

t.test(
  'what cannot be known stops growth beyond the minimum, and says what is missing',
  async t => {
    const world = new GpuWorld(
      [slice],
      [{ key: 'm', workers: 1, needMib: 1_868, rate: 200, policy: { minWorkers: 2 } }],
    )
    world.readable = false
    world.run(60)
    t.equal(world.pool('m').workers.length, 2, 'the minimum is what somebody asked for')
    t.match(world.last('m'), {
      reason: 'gpu_unknown',
      because: /Not done: nvidia-smi is gone\.$/,
      inputs: { gpu: { freeBytes: null, fits: null, source: null } },
    })
    world.readable = true
    world.run(60)
    t.ok(world.pool('m').workers.length > 2, 'and goes on once it is known')
  },
)

t.test('a GPU with an error gets no worker, not even the minimum', async t => {
  const sick = {
    ...a100,
    told: { trouble: 'nvidia-smi says of GPU-0: Unknown Error. Look for Xid errors.' },
  }
  const asked = { minWorkers: 2, gpuMemoryUnknown: 'grow' } as const
  const world = new GpuWorld(
    [sick],
    [{ key: 'm', workers: 1, needMib: 500, rate: 200, policy: asked }],
  )
  world.run(60)
  t.equal(world.pool('m').workers.length, 1)
  t.match(world.last('m'), {
    reason: 'gpu_unhealthy',
    because: /Not done: nvidia-smi says of GPU-0: Unknown Error\. Look for Xid errors\.$/,
    inputs: { usable: 1 },
  })
})

t.test('nothing is learnt or guessed where nobody tells which GPU a worker is on', async t => {
  const model = { key: 'm', workers: 4, needMib: 3_000, rate: 200 }
  const world = new GpuWorld([a100, a100], [model])
  world.tellsGpuIds = false
  world.run(60)
  t.equal(world.memory.gpu.needs.size, 0)
  t.match(world.last('m'), { reason: 'gpu_unknown', because: /does not tell which of its GPUs/ })
  const single = new GpuWorld([a100], [model])
  single.tellsGpuIds = false
  single.run(60)
  t.ok(single.memory.gpu.needs.size > 0, 'of one GPU there is no doubt')
})

t.test('a number without a total is not enough; a configured total makes it so', async t => {
  const told = { totalBytes: undefined, freeBytes: undefined, source: 'torchserve' } as const
  const blind = new GpuWorld(
    [{ ...slice, told }],
    [{ key: 'm', workers: 1, needMib: 500, rate: 200 }],
  )
  blind.run(60)
  t.match(blind.last('m'), { reason: 'gpu_unknown', because: /its memory is not known/ })
  t.equal(blind.pool('m').workers.length, 1)
})

t.test('what is used and free is enough, where nobody tells the total', async t => {
  const told = { totalBytes: undefined, source: 'dcgm' } as const
  const device = { ...a100, told }
  const world = new GpuWorld([device], [{ key: 'm', workers: 1, needMib: 1_868, rate: 600 }])
  world.run(400)
  t.equal(world.outOfMemory, 0)
  t.match(world.last('m').reason, 'gpu_full')
  t.ok(world.usedMib(0) > 70_000)
})

t.test('without anybody to tell what is used, the settings alone do the sum', async t => {
  const told = { usedBytes: undefined, freeBytes: undefined, source: 'configuration' } as const
  const model = { key: 'm', workers: 1, needMib: 1_868, rate: 200 }
  const summed = new GpuWorld(
    [{ ...slice, told }],
    [{ ...model, policy: { gpuWorkerMemory: 1_868 * MIB } }],
  )
  summed.run(200)
  t.equal(summed.outOfMemory, 0)
  t.ok(isFull(slice, summed.usedMib(0), 1_868))
  const blind = new GpuWorld([{ ...slice, told }], [model])
  blind.run(60)
  t.match(blind.last('m').because, /nobody tells how much of its memory is used/)
  for (const unsure of [
    { ...told, source: 'nvidia_smi' as const },
    { ...told, sharing: 'time-slicing' as const },
  ]) {
    const sick = new GpuWorld(
      [{ ...slice, told: unsure }],
      [{ ...model, policy: { gpuWorkerMemory: 1_868 * MIB } }],
    )
    sick.run(60)
    t.equal(sick.pool('m').workers.length, 1, 'a card that does not tell may hold strangers')
  }
})

t.test(
  'who says so grows without knowing; a load that runs out is rolled back and remembered',
  async t => {
    const world = new GpuWorld(
      [slice],
      [
        {
          key: 'm',
          workers: 1,
          needMib: 3_000,
          loadShare: 1,
          rate: 200,
          policy: { gpuMemoryUnknown: 'grow' },
        },
      ],
    )
    world.readable = false
    world.run(120)
    t.ok(world.outOfMemory > 0)
    t.equal(world.pool('m').workers.length, 2, 'those that were there stay')
    t.match(world.last('m'), { reason: 'at_ceiling', because: /its process ended while loading/ })
    const failures = world.decisions.filter(({ reason }) => reason === 'load_failed').length
    t.ok(failures <= 2, 'it is not tried again and again')
  },
)

t.test(
  'on a shared GPU nothing is learnt, and only who says what a worker needs grows',
  async t => {
    const shared = { ...a100, strangersMib: 20_000, told: { sharing: 'time-slicing' } } as const
    const model = { key: 'm', workers: 1, needMib: 1_868, rate: 200 }
    const world = new GpuWorld([shared], [model])
    world.run(120)
    t.match(world.last('m'), { reason: 'gpu_unknown', because: /others use the same GPU/ })
    t.equal(world.pool('m').workers.length, 1)
    t.equal(world.memory.gpu.needs.size, 0)
    const told = new GpuWorld([shared], [{ ...model, policy: { gpuWorkerMemory: 1_868 * MIB } }])
    told.run(300)
    t.equal(told.outOfMemory, 0)
    t.ok(told.pool('m').workers.length > 10)
  },
)

t.test('what a worker needs is learnt with its traffic, not with its load', async t => {
  const world = new GpuWorld(
    [a100],
    [{ key: 'm', workers: 2, needMib: 1_868, loadShare: 0.8, rate: 0 }],
  )
  world.run(60)
  t.equal(world.memory.gpu.needs.size, 0)
  world.pool('m').rate = 25
  world.run(30)
  t.match(world.last('m').inputs.gpu, { workerBytes: 1_868 * MIB, guessed: false })
})

t.test(
  'workers that somebody else added are not taken for the need of those that were there',
  async t => {
    const world = new GpuWorld([a100], [{ key: 'm', workers: 1, needMib: 1_868, rate: 5 }])
    world.run(31)
    t.match(world.last('m').inputs.gpu, { workerBytes: 1_868 * MIB })
    world.addUnseen('m', 5)
    world.run(40)
    t.match(world.last('m'), { reason: 'foreign_change', inputs: { listed: 7 } })
    t.match(world.last('m').inputs.gpu, { workerBytes: 1_868 * MIB })
  },
)

t.test('beside another model, what a worker needs is learnt from the one that comes', async t => {
  const still = { key: 'still', workers: 1, needMib: 5_000, policy: { scale: false } }
  const world = new GpuWorld([a100], [still, { key: 'm', workers: 1, needMib: 1_868, rate: 40 }])
  world.run(4)
  t.match(world.last('m').inputs.gpu, { workerBytes: null }, 'not before it has settled')
  t.equal(world.last('m').inputs.usable, 100, 'which is no reason for more pods')
  world.run(10)
  const guess = world.decisions.find(({ inputs, key }) => key === 'm' && inputs.gpu?.guessed)
  t.ok(Number(guess?.inputs.gpu?.workerBytes) >= 1.5 * 1_868 * MIB, 'at first only a bound')
  world.run(100)
  t.match(world.last('m').inputs.gpu, { guessed: false })
  t.ok(Math.abs(Number(world.last('m').inputs.gpu?.workerBytes) / MIB - 1_868) < 400)
})

t.test(
  'CPUs that are full with an idle GPU get no more workers, an unknown activity holds nobody up',
  async t => {
    const model = { key: 'm', workers: 1, needMib: 1_868, rate: 40 }
    const busy = { cpuBusy: 0.97, memoryTotalBytes: 1, memoryAvailableBytes: 1 }
    const grownWith = (activity: number | undefined) => {
      const world = new GpuWorld([{ ...a100, told: { activity } }], [model])
      world.host = { state: 'fresh', value: busy, atMs: 0 }
      world.run(60)
      return world
    }
    t.match(grownWith(0.24).last('m'), {
      reason: 'cpu_full',
      because: /CPUs are 97 % busy and the GPU is 24 % busy/,
      inputs: { gpu: { cpuBusy: 0.97, activity: 0.24 } },
    })
    t.equal(grownWith(0.24).pool('m').workers.length, 1)
    t.ok(grownWith(0.8).pool('m').workers.length > 3)
    t.ok(grownWith(undefined).pool('m').workers.length > 3)
  },
)
