import t from 'tap'
import { parseConfig } from '../../src/config.ts'

t.test('dcgm-exporter is of no use without knowing which pod is ours', async t => {
  const dcgm = { STOKER_DCGM_URL: 'http://10.0.0.7:9400', STOKER_POD_NAME: 'serve' }
  t.throws(() => parseConfig(dcgm), /STOKER_POD_NAMESPACE must say which rows/)
  t.throws(
    () => parseConfig({ STOKER_GPU_WORKER_MIB: '1.5', STOKER_POD_NAME: 'A b' }),
    /STOKER_POD_NAME="A b" must be a name[\s\S]*STOKER_GPU_WORKER_MIB="1.5" must be a whole number of MiB/,
  )
})
