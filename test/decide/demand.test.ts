import t from 'tap'
import {
  addSample,
  arrivalRate,
  baselineOf,
  noDemand,
  ratesOf,
  serviceTime,
  steadyRate,
  type Sample,
} from '../../src/decide/demand.ts'

const sample = (second: number, what: Partial<Sample>): Sample => ({
  atMs: second * 1_000,
  requests: 0,
  serviceUs: 0,
  pending: 0,
  predictionMs: undefined,
  rejecting: false,
  ready: 2,
  ...what,
})
const demandOf = (samples: readonly Sample[]) => samples.reduce(addSample, noDemand)

t.test('arrivals are counted, a restart begins anew, and is no load below zero', async t => {
  const steady = demandOf([0, 1, 2, 3].map(second => sample(second, { requests: 10 * second })))
  t.equal(arrivalRate(steady), 10)
  const restarted = addSample(steady, sample(4, { requests: 3 }))
  t.equal(arrivalRate(restarted), undefined, 'one sample tells no rate')
  t.equal(arrivalRate(addSample(restarted, sample(5, { requests: 9 }))), 6)
})

t.test('answers are what arrived and does not wait', async t => {
  const rates = ratesOf([
    sample(0, { requests: 0 }),
    sample(2, { requests: 40, pending: 10, serviceUs: 3_000_000 }),
  ])
  t.match(rates, { answers: 30, throughput: 15, serviceMs: 100, inService: 1.5, saturated: true })
})

t.test('what was rejected, or may still wait, is no answer', async t => {
  const half = { requests: 200, serviceUs: 10_000_000, predictionMs: 100 }
  const rejected = [
    sample(0, { predictionMs: 100 }),
    sample(10, { ...half, pending: 100, rejecting: true }),
  ]
  const counted = { answers: 100, throughput: 10, serviceMs: 100, inService: 1 }
  t.match(ratesOf(rejected), counted)
  t.match(ratesOf([sample(0, {}), sample(10, { ...half, pending: undefined })]), counted)
  t.same(baselineOf(rejected), { serviceMs: 100, throughput: 10, doubt: 1 + 0.25 / Math.sqrt(2) })
  const silent = [sample(0, {}), sample(10, { ...half, predictionMs: undefined, rejecting: true })]
  t.match(ratesOf(silent), { sure: false, inService: 1 })
  t.equal(baselineOf(silent), undefined, 'nothing is held against an unsure number')
})

t.test(
  'with few answers the handler’s own time counts, but only where a request arrived',
  async t => {
    const asked = demandOf([
      sample(0, { requests: 0 }),
      sample(1, { requests: 2, predictionMs: 80 }),
      // A decoy moved the gauge, no request did.
      sample(2, { requests: 2, predictionMs: 1 }),
      sample(3, { requests: 2, predictionMs: 1 }),
    ])
    t.equal(serviceTime(asked), 80)
    t.equal(serviceTime(noDemand), undefined)
  },
)

t.test(
  'answers over gRPC, which are never counted, take as long as their handler says',
  async t => {
    for (const perSecond of [0.1, 10]) {
      const asked = demandOf(
        [0, 10, 20, 30].map(second =>
          sample(second, { requests: second * perSecond, predictionMs: 80 }),
        ),
      )
      t.equal(serviceTime(asked), 80, `${perSecond} a second`)
    }
  },
)

t.test(
  'where the handler may have been another version’s, as over gRPC too, its time is likely',
  t => {
    const shared = demandOf(
      [0, 10, 20, 30].map(second => sample(second, { requests: second, sharedPredictionMs: 80 })),
    )
    t.equal(serviceTime(shared), 80)
    t.end()
  },
)

t.test('a service time that contention has grown is bounded by twice what it was', async t => {
  const alone = demandOf(
    [0, 1, 2, 3].map(second =>
      sample(second, { requests: 10 * second, serviceUs: 1_000_000 * second, ready: 1 }),
    ),
  )
  t.equal(serviceTime(alone), 100)
  const crowded = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14].reduce(
    (demand, second) =>
      addSample(
        demand,
        sample(second, {
          requests: 30 + 10 * (second - 3),
          serviceUs: 3_000_000 + 9_000_000 * (second - 3),
          ready: 4,
        }),
      ),
    alone,
  )
  t.equal(serviceTime(crowded), 200)
})

t.test('a few answers are no baseline: what is in a handler would count as answered', async t => {
  const start = sample(0, { requests: 0, ready: 1 })
  // Two of three are not answered yet.
  const few = sample(1, { requests: 4, pending: 1, serviceUs: 100_000, ready: 1 })
  t.equal(baselineOf([start, few]), undefined)
  t.same(baselineOf([start, { ...few, predictionMs: 100 }]), {
    serviceMs: 100,
    throughput: 0,
    doubt: 1.5,
  })
  const many = sample(5, { requests: 51, pending: 1, serviceUs: 5_000_000, ready: 1 })
  t.match(baselineOf([start, many]), { serviceMs: 100, throughput: 10, doubt: 1 })
})

t.test('where a new TorchServe takes over a part of the load, the rates still add up', async t => {
  const perSecond = 40
  let old = demandOf([0, 20, 40, 60, 80].map(at => sample(at, { requests: at * perSecond })))
  let young = demandOf([sample(80, { requests: 0 })])
  for (let after = 1; after <= 60; after++) {
    old = addSample(old, sample(80 + after, { requests: (80 + after / 4) * perSecond }))
    young = addSample(young, sample(80 + after, { requests: 0.75 * after * perSecond }))
    const sum = (steadyRate(old) ?? NaN) + (steadyRate(young) ?? NaN)
    t.ok(Math.abs(sum - perSecond) < 0.3 * perSecond, `after ${after} s: ${sum}`)
  }
  const restarted = demandOf([sample(0, { requests: 500 }), sample(2, { requests: 580 })])
  t.equal(steadyRate(restarted), 40, 'an agent that came later does not know what arrived before')
})

t.test('beside a TorchServe that had served before, a few arrivals in a moment are no rate', t => {
  const after = (arrived: number, second: number) =>
    steadyRate(
      demandOf([sample(0, { requests: 500 }), sample(second, { requests: 500 + arrived })]),
    )
  t.equal(after(3, 1), undefined)
  t.equal(after(49, 44), undefined)
  t.equal(after(50, 2), 25)
  t.equal(after(9, 45), 0.2)
  t.equal(after(0, 45), 0)
  t.end()
})
