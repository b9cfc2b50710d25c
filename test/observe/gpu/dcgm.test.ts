/** Goal: of a node-wide page only what is this pod's, and no sentinel taken for a number. Method: a real HTTP server. */
import t from 'tap'
import type { Observation } from '../../../src/model.ts'
import { card, dcgm, line, memory, other, own, slice } from './exporter.ts'
import { MIB, onGpu, watching } from './rig.ts'

const labels = (instance = '', profile = '') =>
  `{gpu="GPU-1",gpu_instance="${instance}",profile="${profile}",source="dcgm"}`

t.test('a whole GPU of this pod, beside those of others', async t => {
  const { metrics, settle } = await dcgm(t, [
    ...memory({ ...card, ...own }, 1_868, 79_183, 869),
    line('DEV_GPU_UTIL', { ...card, ...own }, 37),
    ...memory({ ...card, UUID: 'GPU-2', gpu: '1', ...other }, 70_000, 10_000),
    ...memory({ ...card, UUID: 'GPU-3', gpu: '2', container: '', namespace: '', pod: '' }, 1, 2),
    ...memory({ ...card, UUID: 'GPU-4', gpu: '3', ...own, container: 'sidecar' }, 1, 2),
    ...memory({ ...card, UUID: 'GPU-5', gpu: '4', ...own, namespace: 'elsewhere' }, 1, 2),
  ])
  await settle()
  t.same(await metrics(), [
    'stoker_gpu_info{gpu="GPU-1",gpu_instance="",profile="",source="dcgm",product="NVIDIA A100",sharing=""} 1',
    `stoker_gpu_memory_total_bytes${labels()} ${81_920 * MIB}`,
    `stoker_gpu_memory_used_bytes${labels()} ${1_868 * MIB}`,
    `stoker_gpu_memory_free_bytes${labels()} ${79_183 * MIB}`,
    `stoker_gpu_activity_ratio${labels()} 0.37`,
  ])
})

t.test(
  'the total is told, or the sum of all its parts; without the reserved one it is not known',
  async t => {
    const rows = memory({ ...card, ...own }, 1_868, 79_183, 869)
    const reserved = /FB_RESERVED/
    const without = await dcgm(
      t,
      rows.filter(row => !reserved.test(row)),
    )
    await without.settle()
    const page = await without.metrics()
    t.notOk(page.some(one => one.includes('memory_total')))
    t.ok(page.includes(`stoker_gpu_memory_free_bytes${labels()} ${79_183 * MIB}`))
    const told = line('DEV_FB_TOTAL', { ...card, ...own }, 81_920)
    const whole = await dcgm(t, [...rows.filter(row => !reserved.test(row)), told])
    await whole.settle()
    t.ok(
      (await whole.metrics()).includes(`stoker_gpu_memory_total_bytes${labels()} ${81_920 * MIB}`),
    )
  },
)

t.test('on MIG the slice counts, not its parent, and GPU_UTIL 0 is no activity', async t => {
  const lines = [
    ...memory({ ...card, ...own }, 11_125, 70_000),
    line('DEV_GPU_UTIL', { ...card, ...own }, 0),
    ...memory({ ...slice, ...own }, 17, 9_967),
    line('DEV_GPU_UTIL', { ...slice, ...own }, 0),
    ...memory({ ...slice, GPU_I_ID: '1', GPU_I_PROFILE: '3g.40gb', ...other }, 11_091, 29_357),
  ]
  const { metrics, settle, served, time } = await dcgm(t, lines)
  await settle()
  const page = await metrics()
  t.ok(page.includes(`stoker_gpu_memory_used_bytes${labels('9', '1g.10gb')} ${17 * MIB}`))
  t.ok(page.includes(`stoker_gpu_memory_total_bytes${labels('9', '1g.10gb')} ${9_984 * MIB}`))
  t.equal(page.filter(one => one.includes('memory_used')).length, 1)
  t.notOk(page.some(one => one.includes('activity')))
  t.match(page[0], 'sharing=""', 'another slice of the same GPU is no stranger')

  served.lines = [...lines, line('PROF_GR_ENGINE_ACTIVE', { ...slice, ...own }, 0.9957)]
  time.aheadMs += 6_000
  for (let tries = 0; tries < 20; tries++)
    await settle().then(() => new Promise(r => setTimeout(r, 10)))
  t.ok((await metrics()).includes(`stoker_gpu_activity_ratio${labels('9', '1g.10gb')} 0.9957`))
})

for (const blank of [
  '9223372036854775794',
  '9.223372036854775807e+18',
  '2147483632',
  '140737488355328',
  'NaN',
  '-1',
]) {
  t.test(`${blank} is nothing`, async t => {
    const { metrics, settle } = await dcgm(t, [
      line('DEV_FB_USED', { ...card, ...own }, blank),
      line('DEV_FB_FREE', { ...card, ...own }, 79_183),
      line('DEV_GPU_UTIL', { ...card, ...own }, blank),
    ])
    await settle()
    const page = await metrics()
    t.notOk(page.some(one => /memory_used|memory_total|activity/.test(one)))
    t.ok(page.includes(`stoker_gpu_memory_free_bytes${labels()} ${79_183 * MIB}`))
  })
}

t.test('labels under their other names', async t => {
  const renames: Record<string, string>[] = [
    { UUID: 'gpu_uuid', modelName: 'model_name', Hostname: 'hostname' },
    { pod: 'exported_pod', namespace: 'exported_namespace', container: 'exported_container' },
    { pod: 'pod_name', namespace: 'pod_namespace', container: 'container_name' },
  ]
  for (const names of renames) {
    const renamed = Object.fromEntries(
      Object.entries({ ...slice, ...own }).map(([key, value]) => [names[key] ?? key, value]),
    )
    // A scrape config's own labels stand beside those that it renamed.
    const clash =
      names['pod'] === 'exported_pod' ? { pod: 'dcgm-exporter-x', namespace: 'gpu' } : {}
    const { metrics, settle } = await dcgm(t, memory({ ...clash, ...renamed }, 17, 9_967))
    await settle()
    t.ok(
      (await metrics()).includes(
        `stoker_gpu_memory_used_bytes${labels('9', '1g.10gb')} ${17 * MIB}`,
      ),
    )
  }
})

t.test('strangers on the same GPU show that it is time-sliced', async t => {
  const { metrics, settle } = await dcgm(t, [
    ...memory({ ...card, ...own }, 1_868, 70_000),
    ...memory({ ...card, ...other }, 1_868, 70_000),
  ])
  await settle()
  t.match((await metrics())[0], 'sharing="time-slicing"')
})

t.test('with virtual GPUs the memory is the device’s, whatever the pod’s own row says', async t => {
  const device = { ...card, container: '', namespace: '', pod: '' }
  const { metrics, settle } = await dcgm(t, [
    ...memory(device, 30_000, 50_000),
    line('DEV_FB_USED', { ...card, ...own }, 0),
  ])
  await settle()
  const page = await metrics()
  t.ok(page.includes(`stoker_gpu_memory_used_bytes${labels()} ${30_000 * MIB}`))
  t.match(page[0], 'sharing="time-slicing"')
})

t.test('without rows of this pod nothing is known, and the note says so', async t => {
  const { metrics, settle } = await dcgm(t, memory({ ...card, ...other }, 0, 80_000))
  await settle()
  t.same(await metrics(), ['stoker_notes{code="DCGM_NO_ROWS"} 1'])
})

t.test('what the settings say', async t => {
  const rows = memory({ ...card, ...own }, 10_000, 71_000, 920)
  const limited = await dcgm(t, rows, { memory: 40_960 * MIB, sharing: 'none' })
  t.match(limited.look(), { gpus: { value: [{ source: 'configuration' }] } }, 'until it answers')
  for (let tries = 0; tries < 100 && sourceOf(limited.look()) !== 'dcgm'; tries++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.match(limited.look(), {
    gpus: {
      value: [
        {
          totalBytes: 40_960 * MIB,
          usedBytes: 10_000 * MIB,
          freeBytes: 30_960 * MIB,
          sharing: 'none',
        },
      ],
    },
  })
  const two = [...rows, ...memory({ ...card, UUID: 'GPU-2', gpu: '1', ...own }, 0, 1)]
  const counted = await dcgm(t, two, { count: 1 })
  t.match(await counted.settle(), { gpus: { state: 'absent' }, notes: [{ code: 'GPU_NOT_OURS' }] })
})

function sourceOf({ gpus }: Pick<Observation, 'gpus'>) {
  return gpus.state === 'fresh' ? gpus.value[0]?.source : undefined
}

t.test('TorchServe’s own values come last: used, and the total only from the settings', async t => {
  const pool = onGpu({ gpuUse: { gpuId: 0, usedBytes: 678 * MIB, activity: 0.5 } })
  const alone = await watching(t, [])
  t.match(alone.look([pool]).gpus, {
    value: [{ id: 'gpu0', usedBytes: 678 * MIB, totalBytes: undefined, source: 'torchserve' }],
  })
  const told = await watching(t, [], undefined, { memory: 9_984 * MIB })
  t.match(told.look([pool]).gpus, { value: [{ freeBytes: 9_306 * MIB, totalBytes: 9_984 * MIB }] })
  t.match(told.look([onGpu()]).gpus, {
    value: [{ source: 'configuration', totalBytes: 9_984 * MIB, usedBytes: undefined }],
  })
  t.match(alone.look([onGpu()]).gpus, { state: 'absent', why: /tells nothing/ })
})

t.test('as long as no worker was on a GPU nobody is asked', async t => {
  let asked = 0
  const finder = { look: () => (asked++, { gpus: [], faults: [] }), close: () => {} }
  const { look } = await watching(t, [finder])
  t.match(look([]).gpus, { state: 'absent', why: 'no model runs on a GPU' })
  t.equal(asked, 0)
  look([onGpu()])
  look([])
  t.equal(asked, 2, 'once one was seen, also while there is none')
  const pool = onGpu()
  if (pool.description.state !== 'fresh') throw new Error('no description')
  const value = { ...pool.description.value, workers: [], device: 'gpu' } as const
  const first = await watching(t, [finder])
  first.look([{ ...pool, description: { ...pool.description, value } }])
  t.equal(asked, 3, 'and before the first one is woken')
})

/** By place, whatever order they are told in. */
function seenIn({ gpus }: Pick<Observation, 'gpus'>) {
  if (gpus.state !== 'fresh') throw new Error('nothing is known')
  return gpus.value
    .map(gpu => [gpu.ordinal ?? -1, gpu.id, gpu.usedBytes] as const)
    .toSorted((a, b) => a[0] - b[0] || a[1].localeCompare(b[1]))
}

t.test(
  'the places are in the order of the indices, as numbers, whatever that of the rows',
  async t => {
    const at = (gpu: string) => ({ ...card, gpu, UUID: `GPU-${gpu}`, ...own })
    const { settle } = await dcgm(t, [
      ...memory(at('10'), 10, 100),
      ...memory(at('2'), 2, 100),
      ...memory({ ...at('3'), ...other }, 3, 100),
      ...memory(at('9'), 9, 100),
    ])
    const seen = seenIn(await settle())
    t.same(seen, [
      [0, 'GPU-2', 2 * MIB],
      [1, 'GPU-9', 9 * MIB],
      [2, 'GPU-10', 10 * MIB],
    ])
  },
)

t.test('slices of two cards: those of one are in one place', async t => {
  const on = (gpu: string, GPU_I_ID: string) => ({
    ...slice,
    gpu,
    UUID: `GPU-${gpu}`,
    GPU_I_ID,
    ...own,
  })
  const { settle } = await dcgm(t, [
    ...memory(on('4', '9'), 49, 100),
    ...memory(on('1', '9'), 19, 100),
    ...memory(on('1', '1'), 11, 100),
  ])
  const seen = seenIn(await settle())
  t.same(seen, [
    [0, 'GPU-1/1', 11 * MIB],
    [0, 'GPU-1/9', 19 * MIB],
    [1, 'GPU-4/9', 49 * MIB],
  ])
})

t.test('a slice without the number of its instance is left out, and said', async t => {
  for (const unnumbered of [{ GPU_I_ID: '' }, { GPU_I_ID: 'N/A' }]) {
    const nameless = { ...slice, ...unnumbered, GPU_I_PROFILE: '3g.40gb', ...own }
    const lines = [...memory(nameless, 11_091, 29_357), ...memory({ ...card, ...own }, 9, 70_000)]
    const alone = await dcgm(t, lines)
    await alone.settle()
    t.same(await alone.metrics(), ['stoker_notes{code="GPU_MIG_UNNUMBERED"} 1'])
    const beside = await dcgm(t, [...lines, ...memory({ ...slice, ...own }, 17, 9_967)])
    await beside.settle()
    const page = await beside.metrics()
    t.equal(page.filter(one => one.includes('memory_used')).length, 1)
    t.ok(page.includes('stoker_notes{code="GPU_MIG_UNNUMBERED"} 1'))
  }
})

t.test('a card with slices is nobody’s whole card, whoever its rows name', async t => {
  const lines = [...memory(slice, 17, 9_967), ...memory({ ...card, ...own }, 10_000, 70_000)]
  const { metrics, settle } = await dcgm(t, lines)
  await settle()
  t.notOk((await metrics()).some(one => one.startsWith('stoker_gpu_memory')))
})
