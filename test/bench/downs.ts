/**
 * `npm run bench -- downs [factor]`: how many requests each way of taking a worker costs, on a real TorchServe. With factor 1:
 * 500 single downs, 200 with batches, as many plain PUTs, and the ways without signals or without sight. Half an hour.
 */
import { takeWorkers, type Result, type Round } from '../real/downs.ts'

const singles = [
  { rps: 20, workers: 6, downs: 168 },
  { rps: 40, workers: 8, downs: 166 },
  { rps: 60, workers: 10, downs: 166 },
]

function rounds(factor: number): Round[] {
  const scaled = (count: number) => Math.max(1, Math.round(count * factor))
  const single = (way: Round['way'], part = 1) =>
    singles.map(({ downs: count, ...load }, i) => ({
      way,
      ...load,
      downs: scaled(count * part),
      attempts: 3 * scaled(count * part),
      seed: i + 1,
    }))
  const batched = (way: Round['way']) => ({
    way,
    rps: 6,
    workers: 3,
    downs: scaled(200),
    attempts: 3 * scaled(200),
    batch: { size: 8, delayMs: 500 },
    seed: 9,
  })
  return [
    ...single('retire'),
    batched('retire'),
    ...single('plain'),
    batched('plain'),
    ...single('edge', 0.5),
    { way: 'gap', rps: 20, workers: 6, downs: scaled(20), attempts: scaled(20), seed: 10 },
    { way: 'gap', rps: 2, workers: 3, downs: scaled(40), attempts: scaled(60), seed: 11 },
  ]
}

export async function downs(factor: number): Promise<void> {
  const results: (Result & { batch: number })[] = []
  for (const round of rounds(factor)) {
    results.push({ ...(await takeWorkers(round)), batch: round.batch?.size ?? 1 })
    console.log(JSON.stringify(results.at(-1)))
  }
  console.table(results, [
    'way',
    'rps',
    'batch',
    'downs',
    'abandoned',
    'sent',
    'lost',
    'hung',
    'repeated',
    'late',
    'sentMeanwhile',
    'lateOtherwise',
    'sentOtherwise',
    'tookP50Ms',
    'tookMaxMs',
  ])
}
