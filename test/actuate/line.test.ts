import t from 'tap'
import { Alibis, Line } from '../../src/actuate/line.ts'
import type { Doing, Processes } from '../../src/clients/processes.ts'

const worker = { id: '9000', pid: 7 }

function seen() {
  const state = {
    doing: 'idle' as Doing,
    thread: 'S1',
    still: () => 'all asleep' as string | undefined,
  }
  const processes: Processes = {
    look: () => state.doing,
    thread: () => `31:${state.thread}`,
    still: () => state.still(),
    siblings: () => [],
    use: () => undefined,
    isWorker: () => true,
    signal: () => true,
  }
  return { state, processes }
}

t.test('a worker whose thread has not moved took nothing, whatever it is doing', async t => {
  const { state, processes } = seen()
  state.doing = 'busy'
  const alibis = new Alibis(processes, worker.pid, [worker])
  t.equal(alibis.allClear(), true)
  state.thread = 'S2'
  t.equal(alibis.allClear(), false)
})

t.test('one whose thread has moved must be idle', async t => {
  const { state, processes } = seen()
  const alibis = new Alibis(processes, worker.pid, [worker])
  state.thread = 'S2'
  t.equal(alibis.allClear(), true)
  for (state.doing of ['busy', 'stopped', 'gone', 'hidden'] as const) {
    t.equal(alibis.allClear(), false, state.doing)
  }
})

t.test('nothing is told while TorchServe moves: the job may be on its way', async t => {
  const { state, processes } = seen()
  const alibis = new Alibis(processes, worker.pid, [worker])
  state.still = () => undefined
  t.equal(alibis.allClear(), false)
  let moves = 0
  state.still = () => `31:S${moves++}`
  t.equal(alibis.allClear(), false, 'it moved while the worker was looked at')
  t.equal(new Alibis(processes, worker.pid, []).allClear(), true, 'nobody else could have it')
})

t.test('one whose process is not known must not have moved', async t => {
  const { state, processes } = seen()
  const alibis = new Alibis(processes, worker.pid, [{ id: '9009' }])
  t.equal(alibis.allClear(), true)
  state.thread = 'S2'
  t.equal(alibis.allClear(), false)
})

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
