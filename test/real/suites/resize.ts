/** The resize cases that need no kubelet, on a real API server. */
import t from 'tap'
import { testResize } from '../../protocol/resize/cases.ts'
import { disturbedWay } from '../disturbed.ts'
import { openApiServerTarget } from '../resize-target.ts'

t.setTimeout(180_000)

const target = await openApiServerTarget()
t.teardown(() => target.stop())
const { close, ...way } = await disturbedWay(target, t.testdir())
t.teardown(close)

await testResize(async () => target)
await testResize(
  async () => ({ ...target, ...way }),
  ({ needs }) => needs === 'faults',
)
