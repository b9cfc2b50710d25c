/** Goal: a TorchServe that has lost its GPUs, as after a resize of the pod, is told as such. Method: its descriptions, in turn. */
import t from 'tap'
import { readDescriptions } from '../../../src/observe/describe.ts'
import type { GpuFinder } from '../../../src/observe/gpu/source.ts'
import { onGpu, watching } from './rig.ts'
import type { PoolSeen, Worker } from '../../../src/model.ts'

const reads =
  'gpuId::0 utilization.gpu [%]::37 % utilization.memory [%]::9 % memory.used [MiB]::678 MiB'
/** What TorchServe says where its nvidia-smi fails. */
const fails = 'failed to obtained gpu usage'
const onMig =
  'gpuId::0 utilization.gpu [%]::[N/A] utilization.memory [%]::[N/A] memory.used [MiB]::[Insufficient Permissions]'

/** A description of `atMs` with a worker of each text. */
function described(atMs: number, ...texts: readonly string[]): PoolSeen {
  const workers = texts.map((gpuUsage, at) => ({
    id: String(9_000 + at),
    status: 'READY',
    gpu: true,
    pid: at + 1,
    gpuUsage,
  }))
  const reply = [{ modelName: 'm', modelVersion: '1.0', minWorkers: 1, maxWorkers: 1, workers }]
  const [read] = readDescriptions(reply, 'the description')
  const pool = onGpu()
  if (!read || pool.description.state === 'absent') throw new Error('no description')
  const known = read.workers.map((worker): Worker => ({ ...worker, alive: true }))
  const value = { ...pool.description.value, workers: known }
  return { ...pool, description: { state: 'fresh', value, atMs } }
}

const card: GpuFinder = {
  look: () => ({
    gpus: [
      {
        id: 'GPU-1',
        ordinal: 0,
        product: undefined,
        mig: undefined,
        totalBytes: 9,
        usedBytes: 1,
        freeBytes: 8,
        activity: undefined,
        sharing: undefined,
        source: 'nvidia_smi',
        atMs: 0,
      },
    ],
    faults: [],
  }),
  close: () => {},
}

t.test('it is told, and no worker is to start there, until it reads its GPU again', async t => {
  const { look } = await watching(t, [card])
  t.match(look([described(0, reads, reads)]), { notes: [] })
  const lost = look([described(10_000, fails, fails)])
  t.match(lost.notes, [
    {
      code: 'GPU_ACCESS_LOST',
      message: /told of its GPU and has not for 10 s\. .*a resize of the pod/,
    },
  ])
  t.match(lost.gpus, { value: [{ id: 'GPU-1', trouble: /has not for 10 s/ }] })
  t.match(look([described(10_000, fails, fails)]).notes, [{ code: 'GPU_ACCESS_LOST' }])
  const back = look([described(20_000, reads, reads)])
  t.same(back.notes, [])
  t.match(back.gpus, { value: [{ trouble: undefined }] })
})

t.test('nothing is lost that never was there, nor while one of them still reads', async t => {
  const never = await watching(t, [card])
  t.same(never.look([described(0, fails)]).notes, [])
  t.same(never.look([described(10_000, fails)]).notes, [])
  const some = await watching(t, [card])
  some.look([described(0, reads, reads)])
  t.same(some.look([described(10_000, reads, fails)]).notes, [])
  t.same(some.look([described(20_000)]).notes, [], 'without workers nobody can say')
})

t.test('on MIG, where the numbers are missing, the GPU is read', async t => {
  const { look } = await watching(t, [card])
  look([described(0, onMig)])
  t.same(look([described(10_000, onMig)]).notes, [])
  t.match(look([described(20_000, fails)]).notes, [{ code: 'GPU_ACCESS_LOST' }])
})
