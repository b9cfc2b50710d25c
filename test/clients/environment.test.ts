/** Goal: of TorchServe's environment what is asked for, and nothing where it cannot be seen. Method: real processes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { linuxEnvironment } from '../../src/clients/environment.ts'

t.test('it is that of the process above the worker, as it was started', async t => {
  // A shell in TorchServe's place; its child has another environment.
  const script = 'CUDA_VISIBLE_DEVICES=9 SECRET=x sleep 100 & echo $!; wait'
  const env = { PATH: process.env['PATH'], CUDA_VISIBLE_DEVICES: '2,3', SECRET: 'a', CUDA: '=b' }
  const torchserve = spawn('/bin/sh', ['-c', script], { env, detached: true })
  t.teardown(() => torchserve.pid && process.kill(-torchserve.pid, 'SIGKILL'))
  const [pid] = (await once(torchserve.stdout, 'data')) as [Buffer]
  const read = linuxEnvironment()
  t.same(read(Number(pid), ['CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER', 'CUDA']), {
    CUDA_VISIBLE_DEVICES: '2,3',
    CUDA: '=b',
  })
})

t.test('without the process, or the right to read it, it is not known', async t => {
  t.equal(linuxEnvironment()(2 ** 22 + 1, ['PATH']), undefined)
  const proc = t.testdir({ '20': { status: 'Name:\tpython\nPPid:\t10\n' }, '10': {} })
  t.equal(linuxEnvironment(proc)(20, ['PATH']), undefined)
})
