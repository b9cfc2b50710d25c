import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { asleep, linuxProcesses } from '../../src/clients/processes.ts'

/** A folder that looks like /proc with TorchServe's Java process 10 and its worker 20. */
function fakeProc(test: { testdir(): string }) {
  const root = test.testdir()
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const worker = (state: string, wchan?: string) => {
    write('20/stat', `20 (py) thon)) ${state} 10 20 20 0`)
    if (wchan === undefined) rmSync(join(root, '20/wchan'), { force: true })
    else write('20/wchan', wchan)
  }
  return { root, write, worker }
}

t.test('what a worker process is doing', async t => {
  const { root, worker } = fakeProc(t)
  const { look } = linuxProcesses(root)
  const cases = [
    ['S', 'unix_stream_read_generic', 'idle'],
    ['S', 'hrtimer_nanosleep', 'busy'],
    ['R', '0', 'busy'],
    ['S', '0', 'hidden'],
    ['S', undefined, 'hidden'],
    ['T', 'do_signal_stop', 'stopped'],
    ['t', undefined, 'stopped'],
    ['Z', '0', 'gone'],
  ] as const
  for (const [state, wchan, doing] of cases) {
    worker(state, wchan)
    t.equal(look(20), doing, `${state} in ${wchan}`)
  }
  t.equal(look(21), 'gone')
})

t.test("the text of a worker's threads changes only when they move", async t => {
  const { root, write, worker } = fakeProc(t)
  worker('S', 'unix_stream_read_generic')
  const thread = (tid: number, name: string, state: string, slept: number) => {
    write(`10/task/${tid}/comm`, `${name}\n`)
    write(
      `10/task/${tid}/status`,
      `Name:\t${name}\nState:\t${state} (x)\nvoluntary_ctxt_switches:\t${slept}\n`,
    )
  }
  thread(11, 'W-9000-m_1.0', 'S', 5)
  thread(12, 'W-9001-m_1.0', 'S', 5)
  thread(13, 'main', 'S', 5)
  const processes = linuxProcesses(root)
  const before = processes.thread('9000', 20)
  t.ok(before !== undefined && asleep(before))
  thread(12, 'W-9001-m_1.0', 'S', 9)
  t.equal(processes.thread('9000', 20), before, 'another worker moved')
  thread(11, 'W-9000-m_1.0', 'S', 6)
  t.not(processes.thread('9000', 20), before, 'its own thread moved')
  thread(11, 'W-9000-m_1.0', 'R', 6)
  t.notOk(asleep(processes.thread('9000', 20) ?? ''), 'a running one is not asleep')
  t.equal(processes.thread('9007', 20), undefined)
  t.equal(processes.thread('9000', 99), undefined)
})

t.test('all workers of a model that TorchServe has threads for', async t => {
  const { root, write, worker } = fakeProc(t)
  worker('S', 'unix_stream_read_generic')
  const names = ['W-9000-resnet_1', 'W-9001-resnet_1', 'W-10000-resnet_', 'W-9002-bert_1.0', 'main']
  names.forEach((name, index) => write(`10/task/${11 + index}/comm`, `${name}\n`))
  const { siblings } = linuxProcesses(root)
  t.same(siblings('9000', 20).toSorted(), ['10000', '9000', '9001'])
  t.same(siblings('9002', 20), ['9002'])
  t.same(siblings('9999', 20), [])
})

t.test('what a worker uses, its children included and file pages not', async t => {
  const { root, write } = fakeProc(t)
  const process = (pid: number, anonKb: number, ticks: number, children = '') => {
    const status = `Name:\tpython\nVmRSS:\t999999 kB\nRssAnon:\t${anonKb} kB\nRssFile:\t77 kB\nRssShmem:\t24 kB\n`
    write(`${pid}/status`, status)
    write(`${pid}/stat`, `${pid} (py) thon) S 10 1 1 0 -1 4 1 0 0 0 ${ticks} 5 0 0 20 0 1 0 9 9 9`)
    write(`${pid}/task/${pid}/children`, children)
  }
  process(20, 1000, 100, '21 22 ')
  process(21, 500, 10, '23 ')
  process(23, 100, 0)
  const { use } = linuxProcesses(root)
  t.same(use(20), { bytes: (1000 + 500 + 100 + 3 * 24) * 1024, cpuMs: 10 * (110 + 3 * 5) })
  t.equal(use(99), undefined)
})

t.test('whether it is a worker is known only once one was seen', async t => {
  const { root, write } = fakeProc(t)
  write('30/cmdline', 'nginx\0')
  write('20/cmdline', 'python\0ts/model_service_worker.py\0')
  const { isWorker } = linuxProcesses(root)
  t.equal(isWorker(30), undefined)
  t.equal(isWorker(20), true)
  t.equal(isWorker(30), false)
})

t.test('TorchServe stands still when all of its threads sleep, its compilers apart', async t => {
  const { root, write, worker } = fakeProc(t)
  worker('S', 'unix_stream_read_generic')
  const thread = (tid: number, name: string, state: string, slept: number) =>
    write(
      `10/task/${tid}/status`,
      `Name:\t${name}\nState:\t${state} (x)\nvoluntary_ctxt_switches:\t${slept}\n`,
    )
  thread(11, 'W-9000-m_1.0', 'S', 5)
  thread(12, 'epollEventLoopG', 'S', 7)
  thread(13, 'C2 CompilerThre', 'R', 1)
  const processes = linuxProcesses(root)
  const before = processes.still(20)
  t.type(before, 'string')
  thread(13, 'C2 CompilerThre', 'R', 2)
  t.equal(processes.still(20), before)
  thread(12, 'epollEventLoopG', 'S', 8)
  t.not(processes.still(20), before, 'it has run in between')
  thread(12, 'epollEventLoopG', 'R', 8)
  t.equal(processes.still(20), undefined)
  t.equal(processes.still(99), undefined, 'not to be seen')
})
