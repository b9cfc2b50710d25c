/** The resize cases that need no kubelet, on a real API server. */
import t from 'tap'
import { testResize } from '../../protocol/resize/cases.ts'
import { openApiServerTarget } from '../resize-target.ts'

t.setTimeout(180_000)

await testResize(async () => {
  const target = await openApiServerTarget()
  t.teardown(() => target.stop())
  return target
})
