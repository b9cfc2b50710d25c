/** Goal: the HPA of the fleet does what the controller does. Method: cases worked out by hand from its source. */
import t from 'tap'
import { Hpa, type HpaSpec } from './hpa.ts'

const spec: HpaSpec = { minReplicas: 1, maxReplicas: 20, type: 'AverageValue', target: 1 }
const at = (hpa: Hpa, nowS: number, replicas: number, metric: number | undefined) =>
  hpa.sync(nowS, { replicas, ready: replicas }, metric)

t.test('a sum within a tenth of the size changes nothing, and any other is rounded up', async t => {
  const next = (replicas: number, sum: number) =>
    at(
      new Hpa({ ...spec, behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } }),
      0,
      replicas,
      sum,
    )
  t.equal(next(10, 10.9), 10)
  t.equal(next(10, 11), 10)
  t.equal(next(10, 11.001), 12)
  t.equal(next(10, 9), 10)
  t.equal(next(10, 8.999), 9)
  t.equal(next(1, 1.2), 2)
  t.equal(next(4, 0), 1, 'not below the minimum')
})

t.test('a value is a factor on the pods that are ready', async t => {
  const hpa = new Hpa({ ...spec, type: 'Value', target: 0.75 })
  t.equal(hpa.sync(0, { replicas: 4, ready: 2 }, 1.5), 4)
  t.equal(hpa.sync(15, { replicas: 4, ready: 4 }, 1.5), 8)
})

t.test('growth is limited by policies, from what there was when the period began', async t => {
  const byDefault = new Hpa(spec)
  t.equal(at(byDefault, 0, 1, 20), 5, 'four, or twice as many')
  t.equal(at(byDefault, 14, 5, 20), 5, 'in fifteen seconds')
  t.equal(at(byDefault, 15, 5, 20), 10)
  const slow = new Hpa({
    ...spec,
    behavior: { scaleUp: { policies: [{ type: 'Pods', value: 2, periodSeconds: 60 }] } },
  })
  t.equal(at(slow, 0, 3, 20), 5)
  t.equal(at(slow, 45, 5, 20), 5)
  t.equal(at(slow, 60, 5, 20), 7)
})

t.test('on the way down the highest recommendation of the window counts', async t => {
  const hpa = new Hpa(spec)
  t.equal(at(hpa, 0, 8, 8), 8)
  t.equal(at(hpa, 15, 8, 3), 8)
  t.equal(at(hpa, 285, 8, 3), 8)
  t.equal(at(hpa, 300, 8, 3), 3, 'five minutes later')
  const one = new Hpa({
    ...spec,
    behavior: {
      scaleDown: {
        stabilizationWindowSeconds: 0,
        policies: [{ type: 'Pods', value: 1, periodSeconds: 120 }],
      },
    },
  })
  t.equal(at(one, 0, 8, 3), 7)
  t.equal(at(one, 105, 7, 3), 7)
  t.equal(at(one, 120, 7, 3), 6)
})

t.test('without a metric nothing happens', async t => {
  const hpa = new Hpa(spec)
  for (let nowS = 0; nowS <= 600; nowS += 15) t.equal(at(hpa, nowS, 6, undefined), 6)
  t.equal(at(hpa, 615, 30, undefined), 20, 'but the bounds hold')
})
