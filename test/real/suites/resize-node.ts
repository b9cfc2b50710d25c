/** The resize cases that need a kubelet, on a real node. */
import t from 'tap'
import { testResize } from '../../protocol/resize/cases.ts'
import { openNodeTarget } from '../resize-target.ts'

t.setTimeout(520_000)

await testResize(
  async () => {
    const target = await openNodeTarget()
    t.teardown(() => target.stop())
    return target
  },
  ({ needs }) => needs === 'node',
)
