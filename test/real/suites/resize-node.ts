/** The resize cases that need a kubelet, on a real node. */
import t from 'tap'
import { testResize } from '../../protocol/resize/cases.ts'
import { openNodeTarget } from '../resize-target.ts'

t.setTimeout(520_000)

/** Kubernetes' own cases of nothing but cpu, which Stoker never changes. */
const onlyCpu = /with cpu( requests| limits)? \(|\(cpu (& mem )?restart\)/

await testResize(
  async () => {
    const target = await openNodeTarget()
    t.teardown(() => target.stop())
    return target
  },
  ({ name, needs }) => needs === 'node' && !onlyCpu.test(name),
)
