/** Every golden pod is injected as its file says. `npm test -- --snapshot` writes the files anew. */
import { readFileSync, writeFileSync } from 'node:fs'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { inject, uninject, type Injection } from '../../src/inject/inject.ts'
import { reasonTable } from '../../src/inject/reasons.ts'
import { asPod, folder, largePod, namesOf, options, shapes } from './golden.ts'
import { invalidities, loosely, qosClass, restrictedViolations } from './kubernetes-rules.ts'
import type { Pod } from '../../src/inject/pod.ts'

function patched(pod: Pod, { operations }: Injection): Pod {
  const copy = structuredClone(pod)
  const faults = applyPatch(copy, structuredClone([...operations])).filter(fault => fault !== null)
  if (faults.length > 0) throw faults[0]
  return asPod(copy)
}

t.test('each pod is injected, or not, as its file says', async t => {
  for (const { name, pod } of shapes()) {
    const file = `${folder}/${name}.expected.yaml`
    const result = inject(pod, options)
    if (process.env['TAP_SNAPSHOT'] === '1')
      writeFileSync(file, stringify(result, { lineWidth: 0, singleQuote: true }))
    t.same(result, parse(readFileSync(file, 'utf8')), name)
  }
})

t.test('there are as many pods as expectations, and they meet every reason', async t => {
  t.same(namesOf('expected'), namesOf('pod'))
  t.ok(shapes().length >= 40)
  const met = new Set(
    shapes().flatMap(({ pod }) => inject(pod, options).reasons.map(one => one.code)),
  )
  const others = ['removed', 'not_injected', 'no_record', 'internal_error']
  t.same(
    Object.keys(reasonTable)
      .filter(code => !others.includes(code))
      .toSorted(),
    [...met].toSorted(),
  )
})

for (const { name, pod } of [...shapes(), { name: 'a thousand containers', pod: largePod() }]) {
  t.test(`${name}: what holds for every pod`, async t => {
    const before = structuredClone(pod)
    const result = inject(pod, options)
    t.same(pod, before, 'the pod given is not changed')
    t.equal(result.outcome === 'injected', result.operations.length > 0)
    if (result.outcome !== 'injected') return

    const injected = patched(pod, result)
    t.same(invalidities(loosely(injected)), [])
    t.equal(qosClass(loosely(injected)), qosClass(loosely(pod)), 'the QoS class is kept')
    if (restrictedViolations(loosely(pod)).length === 0)
      t.same(restrictedViolations(loosely(injected)), [])
    t.match(inject(injected, options), {
      outcome: 'skipped',
      operations: [],
      reasons: [{ code: 'already_injected' }],
    })

    const restored = uninject(injected)
    t.match(restored, { outcome: 'removed', reasons: [{ code: 'removed' }] })
    t.equal(
      JSON.stringify(patched(injected, restored)),
      JSON.stringify(pod),
      'taking it out gives the same pod',
    )
  })
}
