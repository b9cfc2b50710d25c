/** All resize cases, and how to run them on a server. */
import t from 'tap'
import { actuation } from './actuation.ts'
import { admission } from './admission.ts'
import { deletionCosts } from './deletion-cost.ts'
import { disturbances } from './disturbances.ts'
import { identity } from './identity.ts'
import { memoryInUse } from './memory.ts'
import type { Case, ResizeTarget } from './target.ts'
import { validation } from './validation.ts'
import { waiting } from './waiting.ts'

interface Group {
  name: string
  cases: readonly Case[]
  /** How many at a time: they wait for long, and do not get into each other's way. */
  jobs?: number
}

const groups: readonly Group[] = [
  { name: 'validation', cases: validation },
  { name: 'admission', cases: admission },
  { name: 'identity', cases: identity },
  { name: 'deletion cost', cases: deletionCosts },
  { name: 'actuation', cases: actuation },
  { name: 'waiting', cases: waiting },
  { name: 'memory in use', cases: memoryInUse, jobs: 8 },
  { name: 'disturbances', cases: disturbances },
]

/** Whether the target has what a case needs. */
function suits({ needs, since = '1.32' }: Case, { node, faults, version }: ResizeTarget): boolean {
  if (version < since) return false
  if (needs === 'node') return node !== undefined
  if (needs === 'stats') return node?.hideStats !== undefined
  return needs === undefined || faults !== undefined
}

/** One tap test for each case, in a namespace of its own on the one target. */
export async function testResize(
  open: () => Promise<ResizeTarget>,
  which: (each: Case) => boolean = () => true,
): Promise<void> {
  const target = await open()
  let place = 0
  for (const { name, cases, jobs = 1 } of groups) {
    const suiting = cases.filter(each => which(each) && suits(each, target))
    if (suiting.length === 0) continue
    await t.test(`${target.version}: ${name}`, async st => {
      st.jobs = jobs
      const tests = suiting.map(each =>
        st.test(each.name, { buffered: jobs > 1 }, async ct => {
          const namespace = `case-${++place}`
          await target.addNamespace(namespace)
          await each.run(ct, target, namespace)
          await target.clear(namespace)
        }),
      )
      await Promise.all(tests)
    })
  }
}
