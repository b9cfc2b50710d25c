/** TorchServe's metrics page: its families in its order, its labels, and its way to write numbers. */

interface Family {
  name: string
  type: 'counter' | 'gauge'
  unit: string
}

const families: readonly Family[] = [
  { name: 'MemoryAvailable', type: 'gauge', unit: 'Megabytes' },
  { name: 'GPUMemoryUtilization', type: 'gauge', unit: 'Percent' },
  { name: 'HandlerTime', type: 'gauge', unit: 'ms' },
  { name: 'Requests5XX', type: 'counter', unit: 'Count' },
  { name: 'DiskUtilization', type: 'gauge', unit: 'Percent' },
  { name: 'DiskUsage', type: 'gauge', unit: 'Gigabytes' },
  { name: 'WorkerLoadTime', type: 'gauge', unit: 'Milliseconds' },
  { name: 'PredictionTime', type: 'gauge', unit: 'ms' },
  { name: 'ts_inference_requests_total', type: 'counter', unit: 'Count' },
  { name: 'MemoryUtilization', type: 'gauge', unit: 'Percent' },
  { name: 'Requests2XX', type: 'counter', unit: 'Count' },
  { name: 'MemoryUsed', type: 'gauge', unit: 'Megabytes' },
  { name: 'GPUUtilization', type: 'gauge', unit: 'Percent' },
  { name: 'Requests4XX', type: 'counter', unit: 'Count' },
  { name: 'CPUUtilization', type: 'gauge', unit: 'Percent' },
  { name: 'ts_inference_latency_microseconds', type: 'counter', unit: 'Microseconds' },
  { name: 'QueueTime', type: 'gauge', unit: 'Milliseconds' },
  { name: 'DiskAvailable', type: 'gauge', unit: 'Gigabytes' },
  { name: 'GPUMemoryUsed', type: 'gauge', unit: 'Megabytes' },
  { name: 'WorkerThreadTime', type: 'gauge', unit: 'Milliseconds' },
  { name: 'ts_queue_latency_microseconds', type: 'counter', unit: 'Microseconds' },
]

/** Samples by family name, then by label text. */
export type Samples = ReadonlyMap<string, ReadonlyMap<string, number>>

/**
 * @param mode `log`: an empty page; `legacy`: the three ts_* families only
 * @param names with any, only families of these names that have samples; with none, all families
 */
export function page(
  samples: Samples,
  mode: 'prometheus' | 'legacy' | 'log',
  names: ReadonlySet<string>,
): string {
  if (mode === 'log') return ''
  let text = ''
  for (const { name, type, unit } of families) {
    const series = samples.get(name)
    if (mode === 'legacy' && !name.startsWith('ts_')) continue
    if (names.size > 0 && !(names.has(name) && series)) continue
    text += `# HELP ${name} Torchserve prometheus ${type} metric with unit: ${unit}\n# TYPE ${name} ${type}\n`
    for (const [labels, value] of series ?? []) text += `${name}{${labels}} ${javaDouble(value)}\n`
  }
  return text
}

/** As Java writes a double: always with a fraction, and from ten million on with an exponent: `7.656804783170004E9`. */
function javaDouble(value: number): string {
  const size = Math.abs(value)
  if (value === 0 || (size >= 1e-3 && size < 1e7)) return withFraction(String(value))
  const [digits = '0', exponent] = value.toExponential().split('e')
  return `${withFraction(digits)}E${Number(exponent)}`
}

function withFraction(digits: string): string {
  return digits.includes('.') ? digits : `${digits}.0`
}
