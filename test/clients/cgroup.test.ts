import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { linuxCgroup } from '../../src/clients/cgroup.ts'

const java = 'java\0-cp\0/ts.jar\0org.pytorch.serve.ModelServer\0'

/** A folder that looks like /proc, with one process. */
function fakeProc(test: { testdir(): string }, command = java) {
  const root = test.testdir()
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  write('31/cmdline', command)
  const inCgroup = (files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) write(`31/root/sys/fs/cgroup/${name}`, text)
  }
  return { root, write, inCgroup }
}

t.test('cgroup v2', async t => {
  const { root, inCgroup } = fakeProc(t)
  inCgroup({
    'memory.current': '500000000\n',
    'memory.max': '734003200\n',
    'memory.stat': 'anon 300000000\nfile 200000000\ninactive_anon 1\ninactive_file 150000000\n',
    'memory.events': 'low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n',
  })
  const cgroup = linuxCgroup(root)
  const limited = {
    usageBytes: 500_000_000,
    workingBytes: 350_000_000,
    limitBytes: 734_003_200,
    oomKills: 2,
  }
  t.same(cgroup.memory(), limited)
  inCgroup({ 'memory.max': 'max\n' })
  t.same(cgroup.memory(), { ...limited, limitBytes: undefined })
})

t.test('cgroup v1', async t => {
  const { root, inCgroup } = fakeProc(t)
  inCgroup({
    'memory/memory.usage_in_bytes': '500000000\n',
    'memory/memory.limit_in_bytes': '9223372036854771712\n',
    'memory/memory.stat': 'inactive_file 5\ntotal_inactive_file 600000000\n',
    'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
  })
  t.same(linuxCgroup(root).memory(), {
    usageBytes: 500_000_000,
    workingBytes: 0,
    limitBytes: undefined,
    oomKills: 1,
  })
})

t.test('what cannot be read is said, and looked for again', async t => {
  const { root, write, inCgroup } = fakeProc(t, 'nginx\0')
  const cgroup = linuxCgroup(root)
  t.match(cgroup.memory(), { why: /does not share its PID namespace/ })
  write('47/cmdline', java)
  write('47/status', 'Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n')
  write('self/status', 'Uid:\t1000\t1000\t1000\t1000\nGid:\t0\t0\t0\t0\n')
  t.match(cgroup.memory(), { why: /runs as 1000:1000 .* the agent as 1000:0; .* runAsGroup/ })
  rmSync(join(root, '47'), { recursive: true })
  write('31/cmdline', java)
  const files = { 'memory.current': '1\n', 'memory.max': '2\n', 'memory.stat': '' }
  inCgroup(files)
  t.match(cgroup.memory(), { why: /cannot be read/ }, 'without the kills')
  inCgroup({ 'memory.events': 'oom_kill 0\n' })
  t.match(cgroup.memory(), { usageBytes: 1, limitBytes: 2 })
})

t.test('what was read halfway, as of a TorchServe that just ended, is not known', async t => {
  const files = {
    'memory.current': '500\n',
    'memory.max': '700\n',
    'memory.stat': 'inactive_file 100\n',
    'memory.events': 'oom_kill 2\n',
  }
  for (const missing of Object.keys(files)) {
    const { root, inCgroup } = fakeProc(t)
    inCgroup(Object.fromEntries(Object.entries(files).filter(([name]) => name !== missing)))
    t.match(linuxCgroup(root).memory(), { why: /cannot be read/ }, missing)
    rmSync(root, { recursive: true })
  }
})

t.test('of several TorchServes none is taken for this one, unless it was alone before', async t => {
  const { root, write, inCgroup } = fakeProc(t)
  inCgroup({
    'memory.current': '5\n',
    'memory.max': 'max\n',
    'memory.stat': '',
    'memory.events': '',
  })
  const before = linuxCgroup(root)
  t.match(before.memory(), { usageBytes: 5 })
  write('47/cmdline', java)
  t.match(before.memory(), { usageBytes: 5 })
  t.match(linuxCgroup(root).memory(), { why: /^2 TorchServes are seen/ })
})
