import t from 'tap'
import { createResizeActuator } from '../../src/actuate/resize.ts'
import { StokerError } from '../../src/errors.ts'
import type { PodState, ResizeAction } from '../../src/model.ts'
import { virtualClock } from '../../src/simulate/clock.ts'
import { Container, MIB } from '../decide/container.ts'

const has = { requestBytes: 600 * MIB, limitBytes: 600 * MIB }
const action: ResizeAction = {
  kind: 'raise',
  from: has,
  to: { requestBytes: 800 * MIB, limitBytes: 800 * MIB },
  restartCount: 0,
}

function setUp(
  options: { change?: (pod: PodState) => void; conflicts?: number; advise?: boolean } = {},
) {
  const sent: unknown[] = []
  let conflicts = options.conflicts ?? 0
  const read = () => {
    const { state } = new Container()
    options.change?.(state)
    return Promise.resolve(state)
  }
  const actuator = createResizeActuator({
    clock: virtualClock(5),
    advise: options.advise ?? false,
    kubernetes: {
      read,
      resize(to, fence) {
        sent.push({ to, fence })
        if (conflicts-- > 0) return Promise.reject(new StokerError('RESIZE_CONFLICT', 'PATCH'))
        return read()
      },
    },
  })
  const ended = async (what: Partial<ResizeAction> = {}) => {
    actuator.start({ ...action, ...what })
    await actuator.settled()
    return actuator.outcome()
  }
  return { sent, actuator, ended }
}

t.test('the change is fenced with what was looked at just before', async t => {
  const { sent, actuator, ended } = setUp()
  t.match(await ended(), { kind: 'accepted', atMs: 5, action })
  t.same(sent, [{ to: action.to, fence: { unchangedSince: '1' } }])
  t.equal(actuator.outcome(), undefined, 'told once')
  await ended({ to: { requestBytes: 1, limitBytes: undefined } })
  t.same(sent[1], { to: { requestBytes: 1 }, fence: { unchangedSince: '1' } })
})

t.test('nothing is sent to a container that is not the one decided on', async t => {
  const cases: Record<string, (pod: PodState) => void> = {
    'the pod is being deleted': pod => (pod.terminating = true),
    'the container is not running': pod => (pod.container.running = false),
    'the container has restarted': pod => pod.container.restartCount++,
    'somebody else has set its memory': pod => (pod.container.desired = action.to),
  }
  for (const [why, change] of Object.entries(cases)) {
    const { sent, ended } = setUp({ change })
    t.match(await ended(), { kind: 'unfit', why })
    t.same(sent, [])
  }
})

t.test('a write between look and change is looked at again, three times', async t => {
  const twice = setUp({ conflicts: 2 })
  t.match(await twice.ended(), { kind: 'accepted' })
  const always = setUp({ conflicts: 99 })
  t.match(await always.ended(), { kind: 'failed', code: 'RESIZE_CONFLICT' })
  t.equal(always.sent.length, 3)
})

t.test('advising changes nothing', async t => {
  const { sent, ended } = setUp({ advise: true })
  t.match(await ended(), { kind: 'advised' })
  t.same(sent, [])
})
