/** All resize cases, and how to run them on a server. */
import t from 'tap'
import { actuation } from './actuation.ts'
import { admission } from './admission.ts'
import { disturbances } from './disturbances.ts'
import { identity } from './identity.ts'
import { memoryInUse } from './memory.ts'
import type { Case, ResizeTarget } from './target.ts'
import { validation } from './validation.ts'
import { waiting } from './waiting.ts'

const groups: Readonly<Record<string, readonly Case[]>> = {
  validation,
  admission,
  identity,
  actuation,
  waiting,
  'memory in use': memoryInUse,
  disturbances,
}

/** Whether the target has what a case needs. */
function suits({ needs }: Case, { node, faults }: ResizeTarget): boolean {
  return needs === undefined || (needs === 'node' ? node : faults) !== undefined
}

/** One tap test for each case, one after the other, in a namespace of its own on the one target. */
export async function testResize(open: () => Promise<ResizeTarget>): Promise<void> {
  const target = await open()
  let place = 0
  for (const [group, cases] of Object.entries(groups)) {
    await t.test(group, async st => {
      for (const each of cases.filter(one => suits(one, target))) {
        const namespace = `case-${++place}`
        await target.addNamespace(namespace)
        await st.test(each.name, ct => each.run(ct, target, namespace))
        await target.clear(namespace)
      }
    })
  }
}
