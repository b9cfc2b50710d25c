import t from 'tap'
import { createCostActuator } from '../../src/actuate/deletion-cost.ts'
import { StokerError } from '../../src/errors.ts'
import { virtualClock } from '../../src/simulate/clock.ts'

function setUp(options: { fails?: unknown; advise?: boolean } = {}) {
  const sent: number[] = []
  const answers = { fails: options.fails }
  const actuator = createCostActuator({
    clock: virtualClock(5),
    advise: options.advise ?? false,
    kubernetes: {
      setDeletionCost(cost) {
        sent.push(cost)
        return answers.fails === undefined ? Promise.resolve() : Promise.reject(answers.fails)
      },
    },
  })
  const ended = async (cost: number) => {
    actuator.start(cost)
    await actuator.settled()
    return actuator.outcome()
  }
  return { actuator, answers, ended, sent }
}

t.test('it is written, and told once', async t => {
  const { actuator, ended, sent } = setUp()
  t.strictSame(await ended(6), { cost: 6, atMs: 5, kind: 'written' })
  t.strictSame(sent, [6])
  t.equal(actuator.outcome(), undefined)
  t.strictSame(actuator.notes(), [])
})

t.test('a person is told why it is not, until it is', async t => {
  const { actuator, answers, ended } = setUp({
    fails: new StokerError('DELETION_COST_RBAC', 'PATCH answered 403'),
  })
  t.match(await ended(6), { cost: 6, kind: 'failed', code: 'DELETION_COST_RBAC' })
  t.match(actuator.notes(), [{ code: 'DELETION_COST_RBAC', message: /^PATCH answered 403\. / }])
  answers.fails = undefined
  t.match(await ended(6), { kind: 'written' })
  t.strictSame(actuator.notes(), [])
})

t.test('whatever goes wrong is an outcome', async t => {
  const { ended } = setUp({ fails: 'out of luck' })
  t.match(await ended(6), { kind: 'failed', code: 'KUBERNETES_FAILED', message: /out of luck/ })
})

t.test('advising writes nothing', async t => {
  const { ended, sent } = setUp({ advise: true })
  t.match(await ended(6), { kind: 'advised' })
  t.strictSame(sent, [])
})
