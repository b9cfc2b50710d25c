/** Goal: pods follow the load through Prometheus, KEDA and the HPA without deadlock, runaway or swinging. docs/fleet.md has more of it. */
import t from 'tap'
import { example, fewestIn, gaps, kedasDefaults, mostOnBacklog, steps } from './scenarios.ts'
import { alternatives, podDemand } from './signals.ts'

t.test('6.7 pods’ worth of load settles at 7, and less at less', async t => {
  for (const [seed, loads] of [
    [0.7, 6.7, 2.7, 0.7],
    [0.7, 6.7],
  ].entries()) {
    for (const { load, settled, turns, most, late } of steps(podDemand, seed + 1, loads)) {
      t.equal(settled, Math.ceil(load), `${load} pods’ worth`)
      t.ok(turns <= 2, `${turns} changes of direction`)
      t.ok(late < 0.02, `${late} of the requests wait for long`)
      t.ok(most <= 8, `never more than ${most} pods`)
    }
  }
})

t.test('no deadlock where every pod is at its maximum, nor where the Deployment is', async t => {
  const few = { scaling: { ...example.scaling, maxReplicas: 4 } }
  const [, most, after] = steps(podDemand, 1, [0.7, 6.7, 2.7], few)
  t.match(most, { settled: 4, most: 4 })
  t.match(after, { settled: 3 })
})

t.test('a gap scales nothing in', async t => {
  for (const [name, gap] of Object.entries(gaps)) t.equal(fewestIn(gap, podDemand, 1), 7, name)
})

t.test('a backlog does not run away', async t => {
  const most = mostOnBacklog(podDemand, 1)
  t.ok(most <= 15, `${most} pods, for twice the load and the chance in it`)
})

t.test('the fleet tells bad signals from good ones', async t => {
  const clipped = alternatives.find(({ name }) => name.includes('clipped'))
  const [, stuck] = steps(clipped ?? podDemand, 1, [0.7, 6.7])
  t.match(stuck, { settled: 1 })
  t.equal(fewestIn('discovery', podDemand, 1, kedasDefaults), 1, 'by KEDA’s defaults')
  t.ok(fewestIn({ agents: 0.5 }, alternatives.at(-1) ?? podDemand, 1) < 7)
})
