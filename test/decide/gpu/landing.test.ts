import t from 'tap'
import { follow, foretell, unknownRoundRobin } from '../../../src/decide/gpu/landing.ts'
import type { Crew } from '../../../src/decide/gpu/places.ts'
import { GpuWorld, MIB } from './world.ts'

const crew = (
  ...workers: readonly (readonly [id: number, gpuId: number | undefined])[]
): Crew[] => [
  {
    key: 'm',
    batchSize: 1,
    requests: 0,
    atMs: 0,
    workers: workers.map(([id, gpuId]) => ({
      id: String(id),
      pid: id,
      ready: true,
      alive: true,
      gpu: true,
      gpuUse:
        gpuId === undefined ? undefined : { gpuId, usedBytes: undefined, activity: undefined },
      use: undefined,
      memoryBytes: undefined,
    })),
  },
]

t.test('one GPU needs no forecast', async t => {
  t.same(foretell(unknownRoundRobin, 2, 1), [0, 0])
})

t.test('on several, the turn is known once a worker was seen to come', async t => {
  let round = follow(unknownRoundRobin, crew([9000, 1], [9001, 2]), 4)
  t.equal(foretell(round, 1, 4), undefined, 'one that is gone may have had the last turn')
  round = follow(round, crew([9000, 1], [9001, 2], [9002, 3]), 4)
  t.same(foretell(round, 6, 4), [0, 1, 2, 3, 0, 1])
  round = follow(round, crew([9000, 1]), 4)
  t.same(foretell(round, 1, 4), [0], 'workers that go do not turn it back')
})

t.test(
  'a worker that lands elsewhere disproves it for good, one that tells nothing for a while',
  async t => {
    let round = follow(unknownRoundRobin, crew([9000, 1]), 2)
    round = follow(round, crew([9001, 0]), 2)
    const disproved = follow(round, crew([9002, 0]), 2)
    t.equal(foretell(disproved, 1, 2), undefined)
    t.equal(foretell(follow(disproved, crew([9003, 1]), 2), 1, 2), undefined)
    const silent = follow(round, crew([9002, undefined]), 2)
    t.equal(foretell(silent, 1, 2), undefined)
    t.same(foretell(follow(silent, crew([9003, 1]), 2), 1, 2), [0])
  },
)

t.test('the gate looks at the GPU whose turn it is, not at the sum', async t => {
  const tight = { totalMib: 16_384, strangersMib: 13_000 }
  const model = {
    key: 'm',
    workers: 1,
    needMib: 1_000,
    rate: 60,
    policy: { gpuWorkerMemory: 1_000 * MIB },
  }
  const world = new GpuWorld([{ totalMib: 16_384 }, tight], [model])
  world.run(120)
  const onTight = world.pool('m').workers.filter(({ gpuId }) => gpuId === 1).length
  t.equal(world.outOfMemory, 0)
  t.equal(onTight, 2)
  t.match(world.last('m'), { reason: 'gpu_full', inputs: { gpu: { landing: ['GPU-1'], fits: 0 } } })
})

t.test('where it is not known which card has which number, nobody guesses', async t => {
  const unnumbered = (totalMib: number) => ({ totalMib, told: { ordinal: undefined } })
  const model = { key: 'm', workers: 1, needMib: 1_000, rate: 60 }
  const world = new GpuWorld([unnumbered(81_920), unnumbered(16_384)], [model]).run(60)
  t.equal(world.pool('m').workers.length, 1)
  t.equal(world.memory.gpu.needs.size, 0, 'nothing is learnt of the wrong card')
  t.match(world.last('m'), {
    reason: 'gpu_unknown',
    because: /the GPUs differ, .* CUDA_DEVICE_ORDER=PCI_BUS_ID/,
    inputs: { gpu: { activity: null, freeBytes: null } },
  })
})
