/** Goal: from what nvidia-smi writes to /metrics nothing is invented, whatever it writes. Method: a program of that name. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { smiXml } from '../../../src/simulate/nvidia-smi.ts'
import { a100, bytes, labels, MIB, scene, slice, smiWatching, type Scene } from './rig.ts'

/** The page after a scene. */
const shown = async (t: Test, played: Scene) => {
  const { settle, metrics } = await smiWatching(t, played)
  await settle()
  return metrics()
}
t.test('a whole GPU', async t => {
  t.same(await shown(t, scene(a100)), [
    `stoker_gpu_info{gpu="${a100.uuid}",gpu_instance="",profile="",source="nvidia_smi",product="NVIDIA A100-SXM4-80GB",sharing=""} 1`,
    `stoker_gpu_memory_total_bytes${labels()} ${bytes(81_920)}`,
    `stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`,
    `stoker_gpu_memory_free_bytes${labels()} ${bytes(81_920 - 869 - 1_868)}`,
    `stoker_gpu_activity_ratio${labels()} 0.37`,
  ])
})

t.test('MIG with one profile: slices, no parent, and no activity', async t => {
  const slices = [3, 4, 5, 6].map(id => slice(id, '1g.20gb', 19_968))
  const lines = await shown(t, scene({ ...a100, mig: 'Enabled', slices }))
  for (const id of [3, 4, 5, 6]) {
    const of = labels(a100.uuid, id, '1g.20gb')
    t.ok(lines.includes(`stoker_gpu_memory_total_bytes${of} ${bytes(19_968)}`))
    t.ok(lines.includes(`stoker_gpu_memory_used_bytes${of} ${bytes(12)}`))
  }
  t.notOk(lines.some(line => line.includes('gpu_instance=""')))
  t.notOk(lines.some(line => line.startsWith('stoker_gpu_activity_ratio')))
})

t.test('MIG with several profiles, one of them shared by two compute instances', async t => {
  const slices = [
    { ...slice(1, '1c.3g.40gb', 40_448, 16_925) },
    { ...slice(1, '2c.3g.40gb', 40_448, 16_925), computeInstance: 1 },
    slice(9, '1g.10gb', 9_984, 17),
    slice(0, '1g.10gb+me', 9_984, 9),
  ]
  const lines = await shown(t, scene({ ...a100, mig: 'Enabled', slices }))
  const used = lines.filter(line => line.startsWith('stoker_gpu_memory_used_bytes'))
  t.same(used, [
    `stoker_gpu_memory_used_bytes${labels(a100.uuid, 1, '3g.40gb')} ${bytes(16_925)}`,
    `stoker_gpu_memory_used_bytes${labels(a100.uuid, 9, '1g.10gb')} ${bytes(17)}`,
    `stoker_gpu_memory_used_bytes${labels(a100.uuid, 0, '1g.10gb+me')} ${bytes(9)}`,
  ])
})

t.test(
  'slices of two cards: those of one are in one place, each with its card’s profile',
  async t => {
    const on = (card: number, ...slices: ReturnType<typeof slice>[]) => ({
      ...a100,
      uuid: `GPU-${card}`,
      mig: 'Enabled' as const,
      slices,
    })
    const { settle } = await smiWatching(
      t,
      scene(
        on(0, slice(1, '3g.40gb', 40_448, 31), slice(9, '1g.10gb', 9_984, 19)),
        on(1, slice(9, '1g.20gb', 19_968, 29)),
      ),
    )
    const { gpus } = await settle()
    t.same(
      gpus.state === 'fresh' &&
        gpus.value.map(({ id, mig, ordinal, usedBytes }) => [ordinal, id, mig?.profile, usedBytes]),
      [
        [0, 'GPU-0/1', '3g.40gb', 31 * MIB],
        [0, 'GPU-0/9', '1g.10gb', 19 * MIB],
        [1, 'GPU-1/9', '1g.20gb', 29 * MIB],
      ],
    )
  },
)

t.test('a slice without the number of its instance is left out, and said', async t => {
  const slices = [slice(1, '3g.40gb', 40_448), slice(9, '1g.10gb', 9_984)]
  const played = scene({ ...a100, mig: 'Enabled', slices })
  const numbered = '<gpu_instance_id>9</gpu_instance_id>'
  t.match(played.query, numbered)
  played.query = String(played.query).replace(numbered, '<gpu_instance_id>N/A</gpu_instance_id>')
  const lines = await shown(t, played)
  t.equal(lines.filter(line => line.includes('memory_used')).length, 1)
  t.ok(lines.includes('stoker_notes{code="GPU_MIG_UNNUMBERED"} 1'))
})

t.test('an old driver lists slices without profile', async t => {
  const played = scene({ ...a100, mig: 'Enabled', slices: [slice(7, '', 4_864)] })
  played.listing = `GPU 0: A100 (UUID: ${a100.uuid})\n  MIG Device  0: (UUID: MIG-${a100.uuid}/7/0)\n`
  const lines = await shown(t, played)
  t.ok(lines.includes(`stoker_gpu_memory_total_bytes${labels(a100.uuid, 7)} ${bytes(4_864)}`))
})

t.test('a container may not read the parent of its slice', async t => {
  const played = scene({ ...a100, mig: 'Enabled', slices: [slice(9, '1g.10gb', 9_984)] })
  const denied = '[Insufficient Permissions]'
  played.query = String(played.query).replace(/8\d{4} MiB|1868 MiB|7918\d MiB/g, denied)
  const lines = await shown(t, played)
  t.match(played.query, denied)
  t.equal(lines.filter(line => line.includes('memory_used')).length, 1)
  t.ok(
    lines.includes(`stoker_gpu_memory_used_bytes${labels(a100.uuid, 9, '1g.10gb')} ${bytes(12)}`),
  )
})

t.test('several cards out of order are told apart by their UUIDs', async t => {
  const cards = [1, 2, 3, 0].map(minor => ({
    ...a100,
    uuid: `GPU-00000000-0000-0000-0000-00000000000${minor}`,
    minor,
    usedMib: 100 * (minor + 1),
  }))
  const { settle } = await smiWatching(t, scene(...cards))
  const { gpus } = await settle()
  t.same(
    gpus.state === 'fresh' && gpus.value.map(gpu => [gpu.ordinal, gpu.id.at(-1), gpu.usedBytes]),
    [
      [0, '1', 200 * MIB],
      [1, '2', 300 * MIB],
      [2, '3', 400 * MIB],
      [3, '0', 100 * MIB],
    ],
  )
})

t.test('MIG without instances is no GPU with nothing on it', async t => {
  t.same(await shown(t, scene({ ...a100, mig: 'Enabled' })), [
    'stoker_notes{code="GPU_MIG_EMPTY"} 1',
  ])
})

const nothings = [
  'N/A',
  '[N/A]',
  '-',
  '',
  '[Not Supported]',
  'Not Found',
  '[Insufficient Permissions]',
]
for (const text of nothings) {
  t.test(`'${text}' is not 0`, async t => {
    const card = { ...a100, activity: text }
    const query = smiXml([card]).replace('<used>1868 MiB</used>', `<used>${text}</used>`)
    const lines = await shown(t, { query })
    t.ok(lines.includes(`stoker_gpu_memory_total_bytes${labels()} ${bytes(81_920)}`))
    t.notOk(lines.some(line => /memory_used|activity/.test(line)))
  })
}

for (const text of ['ERR!', '[Unknown Error]', 'GPU is lost', '[GPU requires reset]']) {
  t.test(`'${text}' is a sick GPU`, async t => {
    const query = smiXml([a100]).replace('<used>1868 MiB</used>', `<used>${text}</used>`)
    const { metrics, settle } = await smiWatching(t, { query })
    t.match(
      (await settle()).gpus,
      { value: [{ trouble: /Unknown Error/ }] },
      'which is told to the gate',
    )
    const lines = await metrics()
    t.ok(lines.includes('stoker_notes{code="GPU_UNHEALTHY"} 1'))
    t.notOk(lines.some(line => line.includes('memory_used')))
  })
}

t.test('numbers may be padded, and other units are not guessed at', async t => {
  const padded = smiXml([a100]).replace('1868 MiB', '  1868   MiB ').replace('37 %', ' 37 % ')
  const lines = await shown(t, { query: padded })
  t.ok(lines.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`))
  t.ok(lines.includes(`stoker_gpu_activity_ratio${labels()} 0.37`))
  const strange = await shown(t, { query: smiXml([a100]).replace('1868 MiB', '1868 GiB') })
  t.notOk(strange.some(line => line.includes('memory_used')))
})

t.test('no DOCTYPE, a newer one, and one that points elsewhere', async t => {
  const doctypes = [
    '',
    '<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v99.dtd">',
    '<!DOCTYPE nvidia_smi_log [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "MiB">]>',
  ]
  for (const doctype of doctypes) {
    const lines = await shown(t, { query: smiXml([a100], doctype) })
    t.ok(lines.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`), doctype)
  }
})

t.test('process names may be bytes that are no text, and look like tags', async t => {
  const names = [
    '\u00ff\u00fe',
    '--flag=<gpu><uuid>GPU-evil</uuid>',
    'a & b < c > d',
    '</process_info>',
    '&lol;',
  ]
  const processes = names.map((name, pid) => ({ pid, type: 'C', name, usedMib: 1 }))
  const query = Buffer.from(
    smiXml([
      { ...a100, processes },
      { ...a100, uuid: 'GPU-2' },
    ]),
    'latin1',
  )
  const lines = await shown(t, { query })
  t.ok(query.includes(0xff))
  t.ok(lines.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`))
  t.ok(lines.includes(`stoker_gpu_memory_used_bytes${labels('GPU-2')} ${bytes(1_868)}`))
  t.notOk(lines.some(line => line.includes('evil')))
})

t.test('output that is cut anywhere is no output', async t => {
  const whole = smiXml([a100])
  for (const part of [0, 0.1, 0.5, 0.9, 0.999]) {
    const cut = whole.trimEnd().slice(0, Math.floor((whole.length - 2) * part))
    t.same(
      await shown(t, { query: cut }),
      ['stoker_notes{code="NVIDIA_SMI_UNREADABLE"} 1'],
      `${part}`,
    )
  }
})

t.test('two logs in one: the last whole one counts', async t => {
  const later = smiXml([{ ...a100, usedMib: 2_000 }])
  const twice = await shown(t, { query: smiXml([a100]) + later })
  t.same(
    twice.filter(line => line.includes('memory_used')),
    [`stoker_gpu_memory_used_bytes${labels()} ${bytes(2_000)}`],
  )
  const cut = await shown(t, { query: smiXml([a100]) + later.slice(0, -200) })
  t.ok(cut.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`))
  const restarted = await shown(t, { query: smiXml([a100]).slice(0, 700) + later })
  t.ok(restarted.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(2_000)}`))
})

t.test('a warning after the log is told beside good data', async t => {
  const after = 'echo "WARNING: infoROM is corrupted at gpu 0000:3B:00.0"; exit 14'
  const lines = await shown(t, { query: smiXml([a100]), after })
  t.ok(lines.includes(`stoker_gpu_memory_used_bytes${labels()} ${bytes(1_868)}`))
  t.ok(lines.includes('stoker_notes{code="NVIDIA_SMI_INFOROM"} 1'))
})

t.test('data before a failure is worth nothing', async t => {
  const lines = await shown(t, { query: smiXml([a100]), after: 'exit 15' })
  t.same(lines, ['stoker_notes{code="NVIDIA_SMI_GPU_LOST"} 1'])
})

t.test('memory that the operating system hands out is not known', async t => {
  const lines = await shown(t, scene({ ...a100, addressing: 'ATS' }))
  t.notOk(lines.some(line => line.includes('memory')))
})

t.test('clients of MPS show who shares the GPU', async t => {
  const processes = [{ pid: 7, type: 'M+C', name: 'python', usedMib: 900 }]
  t.match((await shown(t, scene({ ...a100, processes })))[0], 'sharing="mps"')
})

t.test('where there is no nvidia-smi nothing is said, as on any CPU', async t => {
  const { settle, metrics, folder } = await smiWatching(t, scene(a100))
  rmSync(join(folder, 'nvidia-smi'))
  t.match(await settle(), { gpus: { state: 'absent', why: /cannot be started/ }, notes: [] })
  t.same(await metrics(), [])
})
