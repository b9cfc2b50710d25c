import t from 'tap'
import { readGpuUsage } from '../../../src/observe/gpu/usage.ts'

const MIB = 1_048_576
const old = (util: string, memory: string) =>
  `gpuId::1 utilization.gpu [%]::${util} utilization.memory [%]::0 % memory.used [MiB]::${memory}`
const later = (memory: string) =>
  `gpuId::0 utilization.gpu::7 % utilization.memory::0 % memory.used::${memory} MiB`

t.test('the forms of both generations, in any locale', t => {
  t.same(readGpuUsage(old('35 %', '678 MiB')), { gpuId: 1, usedBytes: 678 * MIB, activity: 0.35 })
  for (const grouped of ['11125', '11,125', '11.125', '11\u202f125', '11\u00a0125', '11’125']) {
    t.same(readGpuUsage(later(grouped)), { gpuId: 0, usedBytes: 11_125 * MIB, activity: 0.07 })
  }
  t.match(readGpuUsage(later('1,111,125')), { usedBytes: 1_111_125 * MIB })
  t.end()
})

t.test('on MIG only the id is known, and on errors nothing', t => {
  const nothing = { gpuId: 1, usedBytes: undefined, activity: undefined }
  t.same(readGpuUsage(old('[N/A] %', '[Insufficient Permissions] MiB')), nothing)
  t.same(readGpuUsage(old('N/A', 'N/A')), nothing)
  t.equal(readGpuUsage('N/A'), undefined)
  t.equal(readGpuUsage('failed to obtained gpu usage'), undefined)
  t.equal(readGpuUsage(''), undefined)
  t.end()
})
