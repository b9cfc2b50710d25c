/** Workers taken from a real TorchServe under load: none of the clients notices. The long run is `npm run bench -- downs`. */
import t from 'tap'
import { takeWorkers, type Result } from '../downs.ts'

t.setTimeout(420_000)

/**
 * How many may begin more than 100 ms late while workers are taken: one in a hundred, beside what the machine does by itself. The
 * long run, on a quiet machine, shows that there are none.
 */
function mayBeLate({ sentMeanwhile, lateOtherwise, sentOtherwise }: Result): number {
  return Math.ceil(sentMeanwhile * (0.01 + (3 * lateOtherwise) / Math.max(1, sentOtherwise)))
}

for (const { rps, workers } of [
  { rps: 20, workers: 6 },
  { rps: 60, workers: 9 },
]) {
  t.test(`retired at ${rps} requests/s`, async t => {
    const result = await takeWorkers({
      way: 'retire',
      rps,
      workers,
      downs: 30,
      attempts: 60,
      seed: rps,
    })
    t.comment(JSON.stringify(result))
    t.equal(result.downs, 30)
    t.equal(result.lost, 0, 'no 5xx, no reset')
    t.equal(result.hung, 0, 'none without an answer')
    t.equal(result.repeated, 0, 'none executed twice')
    t.ok(result.late <= mayBeLate(result), `${result.late} delayed`)
  })
}

t.test('retired with batches of 8', async t => {
  const batch = { size: 8, delayMs: 500 }
  const result = await takeWorkers({
    way: 'retire',
    rps: 6,
    workers: 3,
    downs: 15,
    attempts: 60,
    seed: 8,
    batch,
  })
  t.comment(JSON.stringify(result))
  t.equal(result.downs, 15)
  t.same([result.lost, result.hung, result.repeated], [0, 0, 0])
  t.ok(result.late <= mayBeLate(result), `${result.late} delayed`)
})

t.test('a plain PUT cuts requests: what retiring is for', async t => {
  const result = await takeWorkers({
    way: 'plain',
    rps: 60,
    workers: 9,
    downs: 40,
    attempts: 40,
    seed: 4,
  })
  t.comment(JSON.stringify(result))
  t.ok(result.lost + result.repeated > 0, `${result.lost} lost, ${result.repeated} executed twice`)
})

t.test('without sight of the processes only a gap in the arrivals is used', async t => {
  const result = await takeWorkers({
    way: 'gap',
    rps: 2,
    workers: 3,
    downs: 5,
    attempts: 10,
    seed: 5,
  })
  t.comment(JSON.stringify(result))
  t.ok(result.downs > 0)
  t.equal(result.hung, 0)
})
