import t from 'tap'
import { Alibis, Line } from '../../src/actuate/line.ts'
import type { Doing, Processes } from '../../src/clients/processes.ts'

const worker = { id: '9000', pid: 7 }

function seen() {
  const state = { doing: 'idle' as Doing, thread: 'S1' as string | undefined }
  const processes: Processes = {
    look: () => state.doing,
    thread: () => (state.thread === undefined ? undefined : `31:${state.thread}`),
    isWorker: () => true,
    signal: () => true,
  }
  return { state, processes }
}

t.test('a thread that sleeps as before took nothing', async t => {
  const { state, processes } = seen()
  state.doing = 'busy'
  t.equal(new Alibis(processes, [worker]).allClear(0), true)
  const awake = new Alibis(processes, [worker])
  state.thread = 'R1'
  t.equal(awake.allClear(0), false, 'it runs: it may be about to')
  const moved = new Alibis(processes, [worker])
  state.thread = 'S2'
  t.equal(moved.allClear(0), false, 'it has run')
})

t.test(
  'where the thread moved the process must have been idle for a while, without a break',
  async t => {
    const { state, processes } = seen()
    const alibis = new Alibis(processes, [worker])
    state.thread = 'S2'
    t.equal(alibis.allClear(0), false, 'the job may still be on its way')
    t.equal(alibis.allClear(3), false)
    state.doing = 'busy'
    t.equal(alibis.allClear(4), false)
    state.doing = 'idle'
    t.equal(alibis.allClear(5), false, 'it begins anew')
    t.equal(alibis.allClear(9), true)
    state.doing = 'busy'
    t.equal(alibis.allClear(10), true, 'what it does later is another job')
  },
)

t.test('first in line is who has been idle longest', async t => {
  const doing = new Map<number, Doing>([
    [1, 'idle'],
    [2, 'busy'],
  ])
  const line = new Line({ ...seen().processes, look: pid => doing.get(pid) ?? 'gone' })
  const both = [
    { id: 'a', pid: 1 },
    { id: 'b', pid: 2 },
  ]
  line.look(both, 0)
  doing.set(2, 'idle')
  line.look(both, 5)
  t.same([line.isFirst('a'), line.isFirst('b')], [true, false])
  doing.set(1, 'busy')
  line.look(both, 6)
  doing.set(1, 'idle')
  line.look(both, 7)
  t.same([line.isFirst('a'), line.isFirst('b')], [false, true])
  t.equal(line.idleForMs('b', 15), 10)
})
