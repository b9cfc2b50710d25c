/** Goal: a source that tells nothing of memory does not keep the next one from being believed. Method: sources that say so. */
import t from 'tap'
import { StokerError } from '../../../src/errors.ts'
import type { GpuSeen } from '../../../src/model.ts'
import type { Found, GpuFinder } from '../../../src/observe/gpu/source.ts'
import { MIB, onGpu, watching } from './rig.ts'

const says = (found: Omit<Found, 'faults'> & Partial<Found>): GpuFinder => ({
  look: () => ({ faults: [], ...found }),
  close: () => {},
})
const card = (told: Partial<GpuSeen>): GpuSeen => ({
  id: 'GPU-1',
  ordinal: 0,
  product: undefined,
  mig: undefined,
  totalBytes: undefined,
  usedBytes: undefined,
  freeBytes: undefined,
  activity: undefined,
  sharing: undefined,
  source: 'nvidia_smi',
  atMs: 0,
  ...told,
})
const dcgm = card({ id: 'by-dcgm', source: 'dcgm', usedBytes: 5 * MIB })
const used = onGpu({ gpuUse: { gpuId: 0, usedBytes: 678 * MIB, activity: undefined } })

t.test('an empty list, and GPUs without memory, are asked past', async t => {
  for (const first of [[], [card({})], [card({ activity: 0.4 })]]) {
    const next = await watching(t, [says({ gpus: first }), says({ gpus: [dcgm] })])
    t.match(next.look().gpus, { value: [{ id: 'by-dcgm', usedBytes: 5 * MIB }] })
    const last = await watching(t, [says({ gpus: first })])
    t.match(last.look([used]).gpus, { value: [{ source: 'torchserve', usedBytes: 678 * MIB }] })
  }
})

t.test('what the sources had to say is told all the same', async t => {
  const fault = new StokerError('GPU_MIG_EMPTY', 'GPU-1')
  const { look } = await watching(t, [says({ gpus: [], faults: [fault] }), says({ gpus: [dcgm] })])
  t.match(look(), { gpus: { state: 'fresh' }, notes: [{ code: 'GPU_MIG_EMPTY' }] })
})

t.test('where nobody tells of memory, which GPUs there are is known', async t => {
  const { look } = await watching(t, [says({ gpus: [] }), says({ gpus: [card({})] })])
  t.match(look().gpus, { value: [{ id: 'GPU-1', totalBytes: undefined }] })
})

t.test('where no source sees a GPU it is not known, or what the settings say', async t => {
  const blind = await watching(t, [says({ gpus: [] })])
  t.match(blind.look().gpus, { state: 'absent', why: /no GPU is seen/ })
  const told = await watching(t, [says({ gpus: [] })], undefined, { memory: 9_984 * MIB })
  t.match(told.look().gpus, { value: [{ source: 'configuration', totalBytes: 9_984 * MIB }] })
})

t.test('a sick GPU that tells nothing of memory is not forgotten for the next source', async t => {
  const sick = says({ gpus: [card({ trouble: 'Unknown Error' })] })
  const { look } = await watching(t, [sick, says({ gpus: [dcgm] })])
  t.match(look().gpus, { value: [{ id: 'GPU-1', trouble: 'Unknown Error' }] })
})
