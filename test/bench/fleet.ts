/**
 * `npm run bench -- fleet [factor]`: pods scaled by the product's demand and by what others scale by, in virtual time (test/fleet).
 * With factor 1: three seeds; minutes. The same seeds give the same table.
 */
import { example, fewestIn, gaps, kedasDefaults, mostOnBacklog, steps } from '../fleet/scenarios.ts'
import { alternatives, podDemand, type Signal } from '../fleet/signals.ts'

const SEEDS = 3
const LOADS = [0.7, 6.7, 2.7, 0.7]

const columns = [
  'pods are scaled by',
  ...LOADS.slice(1).map(load => `pods at ${load}`),
  'late at 6.7',
  'late, pods of 2 workers',
  'most pods',
  'turns',
  ...Object.keys(gaps),
  'most on a backlog',
]

function rowOf(signal: Signal, seeds: readonly number[], trigger = example.trigger): string[] {
  const runs = seeds.map(seed => steps(signal, seed, LOADS, { trigger }))
  const range = (numbers: readonly number[], digits = 0) => {
    const texts = [Math.min(...numbers), Math.max(...numbers)].map(each => each.toFixed(digits))
    return [...new Set(texts)].join('–')
  }
  const smaller = seeds.map(seed => steps(signal, seed, [0.7, 6.7], { trigger, maxWorkers: 2 }))
  const late = (them: typeof runs) =>
    `${range(
      them.map(run => 100 * (run[1]?.late ?? NaN)),
      1,
    )} %`
  return [
    ...LOADS.slice(1).map((_, place) =>
      range(
        runs.map(run => run[place + 1]?.settled ?? NaN),
        1,
      ),
    ),
    late(runs),
    late(smaller),
    range(runs.map(run => Math.max(...run.map(({ most }) => most)))),
    range(runs.map(run => Math.max(...run.map(({ turns }) => turns)))),
    ...Object.values(gaps).map(gap =>
      range(seeds.map(seed => fewestIn(gap, signal, seed, trigger))),
    ),
    range(seeds.map(seed => mostOnBacklog(signal, seed))),
  ].map(text => text.replaceAll('.0', ''))
}

export function fleet(factor: number): Promise<void> {
  const seeds = Array.from({ length: Math.ceil(SEEDS * factor) }, (_, place) => place + 1)
  const print = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`)
  print(columns)
  print(columns.map(() => '---'))
  for (const signal of [podDemand, ...alternatives]) {
    print([signal.name, ...rowOf(signal, seeds)])
  }
  print([`${podDemand.name}, KEDA's defaults`, ...rowOf(podDemand, seeds, kedasDefaults)])
  return Promise.resolve()
}
