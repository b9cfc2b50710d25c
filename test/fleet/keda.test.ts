/** Goal: what KEDA makes of an answer of Prometheus. Method: cases worked out by hand from its source. */
import t from 'tap'
import { Keda } from './keda.ts'

const fallback = { failureThreshold: 3, replicas: 2, behavior: 'currentReplicasIfHigher' } as const

t.test('values have three decimals, and are not negative', async t => {
  const keda = new Keda({ ignoreNullValues: false, fallback: undefined })
  t.equal(keda.metric({ value: 6.70049 }, 7, 1), 6.7)
  t.equal(keda.metric({ value: 0.0004 }, 7, 1), 0)
  t.equal(keda.metric({ value: -1 }, 7, 1), 0)
})

t.test('an empty result is 0 by default, and an error where the trigger says so', async t => {
  const empty = { value: undefined }
  const careless = new Keda({ ignoreNullValues: true, fallback: undefined })
  t.equal(careless.metric(empty, 7, 1), 0)
  t.equal(careless.metric({ value: NaN }, 7, 1), 0)
  t.equal(careless.metric(undefined, 7, 1), undefined, 'no answer is an error in any case')
  const careful = new Keda({ ignoreNullValues: false, fallback: undefined })
  t.equal(careful.metric(empty, 7, 1), undefined)
  t.equal(careful.metric({ value: NaN }, 7, 1), undefined)
})

t.test(
  'after more failures than the threshold the fallback is taken, until one succeeds',
  async t => {
    const keda = new Keda({ ignoreNullValues: false, fallback })
    for (let failure = 1; failure <= 3; failure++) t.equal(keda.metric(undefined, 7, 1), undefined)
    t.equal(keda.metric(undefined, 7, 1), 7)
    t.equal(keda.metric(undefined, 1, 1), 2)
    t.equal(keda.metric({ value: 3 }, 7, 1), 3)
    t.equal(keda.metric(undefined, 7, 1), undefined, 'counted anew')
  },
)
