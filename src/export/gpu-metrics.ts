import type { GpuSeen } from '../model.ts'
import type { MetricRow, Shown } from './metric-table.ts'

const gpuLabels = ['gpu', 'gpu_instance', 'profile', 'source'] as const

/** The GPU itself, or the parent of the slice: as in dcgm-exporter, a slice is the pair of GPU and GPU instance. */
function labelsOf({ id, mig, source }: GpuSeen): Record<(typeof gpuLabels)[number], string> {
  const gpu_instance = mig === undefined ? '' : String(mig.gpuInstance)
  const gpu = mig === undefined ? id : id.slice(0, id.lastIndexOf('/'))
  return { gpu, gpu_instance, profile: mig?.profile ?? '', source }
}

/** Those that are known now: a source that goes silent takes its series with it. */
const gpusOf = ({ tick }: Shown) => (tick?.seen.gpus.state === 'fresh' ? tick.seen.gpus.value : [])

function ofGpu(
  name: string,
  unit: string,
  help: string,
  value: (gpu: GpuSeen, atMs: number) => number | undefined,
): MetricRow {
  return {
    name,
    type: 'gauge',
    unit,
    labels: gpuLabels,
    help,
    samples: shown =>
      gpusOf(shown).map(
        gpu => [labelsOf(gpu), value(gpu, shown.tick?.seen.atMs ?? 0) ?? null] as const,
      ),
  }
}

function ofHost(
  name: string,
  unit: string,
  help: string,
  key: 'cpuBusy' | 'memoryTotalBytes' | 'memoryAvailableBytes',
): MetricRow {
  return {
    name,
    type: 'gauge',
    unit,
    labels: [],
    help,
    samples: ({ tick }) => [
      [{}, tick?.seen.host.state === 'fresh' ? tick.seen.host.value[key] : null],
    ],
  }
}

export const gpuRows: readonly MetricRow[] = [
  {
    name: 'stoker_gpu_info',
    type: 'gauge',
    unit: '1',
    labels: [...gpuLabels, 'product', 'sharing'],
    help: 'Always 1, for each GPU or MIG slice of TorchServe; the labels say what it is, who tells of it, and who shares it (empty: nobody tells).',
    samples: shown =>
      gpusOf(shown).map(
        gpu =>
          [
            { ...labelsOf(gpu), product: gpu.product ?? '', sharing: gpu.sharing ?? '' },
            1,
          ] as const,
      ),
  },
  ofGpu(
    'stoker_gpu_memory_total_bytes',
    'bytes',
    'Memory of the GPU or MIG slice, or what the settings allow of it.',
    gpu => gpu.totalBytes,
  ),
  ofGpu(
    'stoker_gpu_memory_used_bytes',
    'bytes',
    'Memory in use, by whomever. That of a parent of MIG slices is not shown: it is their sum.',
    gpu => gpu.usedBytes,
  ),
  ofGpu(
    'stoker_gpu_memory_free_bytes',
    'bytes',
    'Memory that can still be had.',
    gpu => gpu.freeBytes,
  ),
  ofGpu(
    'stoker_gpu_activity_ratio',
    '0 to 1',
    'The part of the time in which the GPU had work, which is not the part of it in use. Absent on MIG slices, unless dcgm-exporter profiles them.',
    gpu => gpu.activity,
  ),
  ofGpu(
    'stoker_gpu_reading_age_seconds',
    'seconds',
    'How old the reading was at the last tick.',
    (gpu, atMs) => Math.max(0, atMs - gpu.atMs) / 1000,
  ),
  ofHost(
    'stoker_host_cpu_busy_ratio',
    '0 to 1',
    'Busy part of all CPUs of the machine; read only where a model uses a GPU.',
    'cpuBusy',
  ),
  ofHost(
    'stoker_host_memory_total_bytes',
    'bytes',
    'Memory of the machine; read only where a model uses a GPU.',
    'memoryTotalBytes',
  ),
  ofHost(
    'stoker_host_memory_available_bytes',
    'bytes',
    'Memory of the machine that can still be had; read only where a model uses a GPU.',
    'memoryAvailableBytes',
  ),
]
