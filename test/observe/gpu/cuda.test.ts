/** Goal: a worker's gpuId is never taken for the wrong card. Method: several cards, and environments of TorchServe. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createNvidiaSmi } from '../../../src/clients/nvidia-smi.ts'
import type { GpuSeen } from '../../../src/model.ts'
import type { GpuEnvironment } from '../../../src/observe/gpu/cuda.ts'
import { smiFinder } from '../../../src/observe/gpu/smi.ts'
import { wallClock as clock } from '../../../src/clock.ts'
import { card, dcgm, memory, other, own } from './exporter.ts'
import { a100, MIB, onGpu, scene, slice, smiProgram, watching } from './rig.ts'

const t4 = { product: 'Tesla T4', totalMib: 15_360, reservedMib: 449, usedMib: 3 }
const named = (letter: string, changes: Partial<typeof a100> = {}) => ({
  ...a100,
  uuid: `GPU-${letter}${letter}${letter}${letter}`,
  ...changes,
})
const alike = ['a', 'b', 'c'].map(letter => named(letter))
const unlike = [named('t', t4), named('a'), named('b')]

/** What the agent sees: the ordinals with the UUIDs, in order; or why it sees nothing. */
async function seen(
  t: Test,
  cards: readonly (typeof a100)[],
  environment: GpuEnvironment | undefined,
  count?: number,
) {
  const { env } = smiProgram(t, scene(...cards))
  const finder = smiFinder(createNvidiaSmi({ clock, env }), clock)
  const { look } = await watching(t, [finder], clock, { count, environment })
  const isAsked = () => !/not answered yet/.test(JSON.stringify(look().gpus))
  for (let tries = 0; tries < 500 && !isAsked(); tries++) await sleep(10)
  const { gpus, notes } = look()
  if (gpus.state !== 'fresh') return [notes[0]?.code, gpus.state === 'absent' ? gpus.why : '']
  return gpus.value.map(({ id, ordinal }) => `${ordinal} ${id}`)
}

const inPod = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
const byBus = { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }
const inOrder = ['0 GPU-aaaa', '1 GPU-bbbb', '2 GPU-cccc']
const nobody = /3 GPUs are visible, and nobody says which are TorchServe’s/

t.test('cards that are alike are counted as nvidia-smi counts them', async t => {
  t.same(await seen(t, alike, {}), inOrder)
})

t.test('of cards that differ CUDA’s order is known only where it is that of the bus', async t => {
  const all = ['undefined GPU-tttt', 'undefined GPU-aaaa', 'undefined GPU-bbbb']
  t.same(await seen(t, unlike, {}), all)
  t.same(await seen(t, unlike, { CUDA_DEVICE_ORDER: 'FASTEST_FIRST' }), all)
  t.same(await seen(t, unlike, byBus), ['0 GPU-tttt', '1 GPU-aaaa', '2 GPU-bbbb'])
  t.same(await seen(t, unlike.slice(0, 1), {}), ['0 GPU-tttt'], 'one is the only one')
})

t.test('CUDA_VISIBLE_DEVICES says which, and in which order', async t => {
  const cases: [string, string[] | 'unknown'][] = [
    ['2,0', ['0 GPU-cccc', '1 GPU-aaaa']],
    [' 1 ', ['0 GPU-bbbb']],
    ['0,7,1', ['0 GPU-aaaa']],
    ['GPU-cc,GPU-aaaa', ['0 GPU-cccc', '1 GPU-aaaa']],
    ['', inOrder],
    ['MIG-5c2e', 'unknown'],
  ]
  for (const [CUDA_VISIBLE_DEVICES, expected] of cases) {
    const found = await seen(t, alike, { CUDA_VISIBLE_DEVICES })
    if (expected === 'unknown') t.ok(found.every(one => one?.startsWith('undefined ')))
    else t.same(found, expected, CUDA_VISIBLE_DEVICES)
  }
  t.same(await seen(t, alike, { CUDA_VISIBLE_DEVICES: '-1' }), [undefined, noGpu])
  t.same(await seen(t, unlike, { ...byBus, CUDA_VISIBLE_DEVICES: '1' }), ['0 GPU-aaaa'])
  t.ok(
    (await seen(t, unlike, { CUDA_VISIBLE_DEVICES: '1' })).every(one =>
      one?.startsWith('undefined '),
    ),
  )
  t.same(
    await seen(t, unlike, { CUDA_VISIBLE_DEVICES: 'GPU-b' }),
    ['0 GPU-bbbb'],
    'a UUID is plain',
  )
})

const noGpu =
  'no GPU is seen; TorchServe asks nvidia-smi by numbers that CUDA_VISIBLE_DEVICES has changed'

t.test('in a pod, what is visible is TorchServe’s only where something says so', async t => {
  for (const unsure of [
    inPod,
    { ...inPod, NVIDIA_VISIBLE_DEVICES: 'all' },
    { ...inPod, NVIDIA_VISIBLE_DEVICES: 'void' },
    { NVIDIA_VISIBLE_DEVICES: '1' },
    { NVIDIA_VISIBLE_DEVICES: '/var/run/nvidia-container-devices' },
    undefined,
  ]) {
    t.match(await seen(t, alike, unsure), ['GPU_NOT_OURS', nobody])
    t.same(await seen(t, alike, unsure, 3), inOrder, 'somebody has counted them')
    t.same(await seen(t, alike.slice(0, 1), unsure), ['0 GPU-aaaa'], 'of one there is no doubt')
  }
  t.match(await seen(t, alike, {}, 2), ['GPU_NOT_OURS', /3 GPUs are visible, and TorchServe has 2/])
})

t.test('the UUIDs that its container was given say which', async t => {
  const given = { ...inPod, NVIDIA_VISIBLE_DEVICES: 'GPU-bbbb,GPU-cccc' }
  t.same(await seen(t, alike, given), ['0 GPU-bbbb', '1 GPU-cccc'])
  t.same(await seen(t, alike, given, 2), ['0 GPU-bbbb', '1 GPU-cccc'], 'and how many')
  const elsewhere = { ...inPod, NVIDIA_VISIBLE_DEVICES: 'GPU-ffff' }
  t.match(await seen(t, alike, elsewhere), [undefined, /no GPU is seen/])
})

t.test('slices of one card have its number, and must be counted, too', async t => {
  const slices = [slice(9, '1g.10gb', 9_856), slice(5, '2g.20gb', 19_968)]
  const sliced = { ...named('a'), mig: 'Enabled' as const, slices }
  t.same(await seen(t, [sliced], {}), ['0 GPU-aaaa/9', '0 GPU-aaaa/5'])
  t.match(await seen(t, [sliced], inPod), ['GPU_NOT_OURS'])
})

t.test('the rows of dcgm-exporter name the container, so nobody needs to count', async t => {
  const row = (gpu: string, labels = own) => ({ ...card, gpu, UUID: `GPU-${gpu}`, ...labels })
  const rows = [
    ...memory(row('4'), 4, 9),
    ...memory(row('2', other), 2, 9),
    ...memory(row('6'), 6, 9),
  ]
  const { settle } = await dcgm(t, rows, { environment: undefined })
  const { gpus } = await settle()
  t.match(gpus, {
    value: [
      { id: 'GPU-4', ordinal: 0 },
      { id: 'GPU-6', ordinal: 1 },
    ],
  })
})

t.test('TorchServe’s own values are of other cards where CUDA’s numbers were changed', async t => {
  const pool = onGpu({ gpuUse: { gpuId: 0, usedBytes: 678 * MIB, activity: 0.5 } })
  for (const [CUDA_VISIBLE_DEVICES, state] of [
    ['0,1', 'fresh'],
    ['', 'fresh'],
    ['1', 'absent'],
    ['1,0', 'absent'],
  ] as const) {
    const { look } = await watching(t, [], clock, { environment: { CUDA_VISIBLE_DEVICES } })
    t.match(look([pool]).gpus, { state }, CUDA_VISIBLE_DEVICES)
  }
})

t.test('while TorchServe has no worker, its environment is known from those before', async t => {
  const gpus: GpuSeen[] = ['a', 'b'].map((letter, ordinal) => ({
    id: `GPU-${letter}`,
    ordinal,
    product: 'A',
    mig: undefined,
    totalBytes: 9,
    usedBytes: 1,
    freeBytes: 8,
    activity: undefined,
    sharing: undefined,
    source: 'nvidia_smi',
    atMs: clock.now(),
  }))
  const finder = { look: () => ({ gpus, faults: [] }), close: () => {} }
  const { look } = await watching(t, [finder])
  t.match(look([onGpu({ alive: undefined })]).gpus, { state: 'absent', why: /nobody says/ })
  t.match(look([onGpu()]).gpus, { state: 'fresh' })
  t.match(look([]).gpus, { state: 'fresh' })
})
