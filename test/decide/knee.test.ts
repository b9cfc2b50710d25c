import t from 'tap'
import type { Baseline, Sample } from '../../src/decide/demand.ts'
import { uselessStep, judge } from '../../src/decide/knee.ts'
import { newPool } from '../../src/decide/memory.ts'
import { nextStep } from '../../src/decide/sizing.ts'
import type { Description } from '../../src/model.ts'

/** Samples of ten seconds after a growth to `workers`, saturated, with so many answers a second of so many milliseconds. */
function after(workers: number, perSecond: number, serviceMs: number): Sample[] {
  return Array.from({ length: 11 }, (_, second) => ({
    atMs: second * 1_000,
    requests: 1_000 + second * perSecond,
    serviceUs: second * perSecond * serviceMs * 1_000,
    pending: 5,
    predictionMs: undefined,
    rejecting: false,
    ready: workers,
  }))
}

const before = (throughput: number, serviceMs: number): Baseline => ({
  throughput,
  serviceMs,
  doubt: 1,
})
const verdict = (from: number, to: number, was: Baseline, samples: Sample[], nowMs = 10_000) =>
  judge({ from, to, readyMs: 0, before: was }, samples, nowMs)

t.test('workers beside each other help, workers in each other’s way do not', async t => {
  t.equal(verdict(1, 2, before(10, 100), after(2, 20, 100)), 'helps')
  t.equal(verdict(1, 2, before(18, 55), after(2, 20, 100)), 'useless')
  t.equal(verdict(1, 5, before(35, 28), after(5, 9, 550)), 'useless', 'throughput that falls')
  t.equal(
    verdict(1, 2, before(10, 100), after(2, 15, 133)),
    'helps',
    'half of the gain is worth it',
  )
})

t.test(
  'what the old workers could have served counts, not the little there was to serve',
  async t => {
    // One worker of 50 ms serves 20 a second; the load had only just risen and it had served 8.
    t.equal(verdict(1, 2, before(8, 50), after(2, 20, 100)), 'useless')
  },
)

t.test('it takes a while, and without evidence nothing speaks against them', async t => {
  const trial = { from: 1, to: 2, readyMs: 0, before: before(18, 55) }
  t.equal(judge(trial, after(2, 20, 100).slice(0, 3), 2_000), 'measuring')
  t.equal(judge(trial, [], 5_000), 'measuring')
  t.equal(judge(trial, [], 31_000), 'helps')
  t.equal(judge({ ...trial, before: undefined }, after(2, 20, 100), 10_000), 'helps')
})

t.test('a baseline of a few reports proves nothing that chance could have done', async t => {
  const reported = (serviceMs: number, doubt: number) => ({ throughput: 0, serviceMs, doubt })
  // Of requests of 50 to 150 ms the median of three may well be 55.
  t.equal(verdict(1, 2, reported(55, 1.5), after(2, 20, 100)), 'measuring')
  t.equal(verdict(1, 2, reported(55, 1.5), after(2, 20, 100), 31_000), 'unsure')
  t.equal(verdict(1, 2, reported(55, 1.1), after(2, 20, 100)), 'useless')
  t.equal(verdict(1, 5, reported(28, 2), after(5, 9, 550)), 'useless', 'what is plain is seen')
})

t.test('after a growth that may have been useless only one more is added', async t => {
  const description = { startupTimeoutMs: 120_000, pending: 90, queueFree: 10 } as Description
  const loading = { aloneMs: 200, slowdown: 0 }
  const known = { ...newPool(0), loading }
  t.equal(nextStep(2, 8, known, description), 8, 'with the queue nearly full')
  t.equal(
    nextStep(
      2,
      8,
      { ...known, unsure: { from: 1, to: 2, readyMs: 0, before: undefined } },
      description,
    ),
    3,
  )
  t.equal(
    nextStep(
      3,
      8,
      { ...known, unsure: { from: 1, to: 2, readyMs: 0, before: undefined } },
      description,
    ),
    8,
    'of another count it tells nothing',
  )
})

t.test(
  'what was read of the GPU decides how long is measured, and nothing where it is not known',
  async t => {
    const slow = after(5, 2, 2_500)
    const was = { throughput: 2, serviceMs: 2_000 - 20, doubt: 1.3 }
    const at = (gpuFull: boolean, ...shares: number[]) => {
      const pulses = shares.map((share, index) => ({ share, atMs: 2_000 * index }))
      return judge(
        { from: 4, to: 5, readyMs: 0, before: { ...was, gpuFull }, pulses },
        slow,
        31_000,
      )
    }
    t.equal(at(false), 'unsure', 'few answers, and a doubtful baseline')
    t.equal(at(true, 1, 0.96), 'useless')
    t.equal(at(true), 'unsure', 'it is not known whether it still is')
    t.equal(at(false, 1, 1), 'unsure', 'it had time left before')
    t.equal(at(true, 0.8, 0.9), 'unsure')
    const plain = (elapsedMs: number, ...shares: number[]) => {
      const pulses = shares.map(share => ({ share, atMs: 0 }))
      const trial = { from: 1, to: 2, readyMs: 0, before: before(18, 55), pulses }
      return judge(trial, after(2, 20, 100), elapsedMs)
    }
    t.equal(plain(10_000), 'useless')
    t.equal(plain(10_000, 0.9), 'useless')
    t.equal(plain(10_000, 0.2), 'measuring')
    t.equal(plain(31_000, 0.2), 'useless')
  },
)

t.test('a GPU that is full does not hide a gain', async t => {
  const trial = { from: 1, to: 2, readyMs: 0, before: { ...before(10, 77), gpuFull: true } }
  t.equal(judge({ ...trial, pulses: [{ share: 1, atMs: 1 }] }, after(2, 20, 100), 10_000), 'helps')
})

t.test('a knee is given up only for workers that prove what they do', async t => {
  const retried = (samples: Sample[], nowMs: number) =>
    judge({ from: 1, to: 2, readyMs: 0, before: before(10, 100), isRetry: true }, samples, nowMs)
  t.equal(retried(after(2, 12, 120), 10_000), 'measuring', 'it may be chance')
  t.equal(retried(after(2, 13, 150), 31_000), 'useless')
  t.equal(retried(after(2, 20, 100), 31_000), 'helps')
})

t.test('at the end of a growth to many more the likelier is taken', async t => {
  const was = { throughput: 0, serviceMs: 143, doubt: 2 }
  const trial = { from: 2, to: 8, readyMs: 0, before: was }
  t.equal(judge(trial, after(8, 22, 366), 31_000), 'unsure')
  t.equal(judge(trial, after(8, 22, 366), 31_000, true), 'useless')
})

t.test('of a growth after a doubtful one the last step alone may tell', async t => {
  const doubtful = { throughput: 0, serviceMs: 50, doubt: 1.5 }
  const chain = { from: 1, to: 3, readyMs: 0, before: doubtful }
  const samples = after(3, 20, 150)
  t.equal(judge(chain, samples, 10_000), 'measuring', 'against the first it may be chance')
  t.equal(uselessStep(chain, samples, 10_000), undefined, 'and nothing else is known')
  const step = { from: 2, before: before(20, 100) }
  t.match(uselessStep({ ...chain, step }, samples, 10_000), { from: 1 }, 'both were of no use')
  const gaining = { ...chain, before: { ...doubtful, serviceMs: 100 }, step }
  t.match(uselessStep(gaining, samples, 10_000), { from: 2 }, 'the earlier one likely was')
  t.equal(uselessStep({ ...chain, step }, after(3, 30, 100), 10_000), undefined, 'it helps')
})
