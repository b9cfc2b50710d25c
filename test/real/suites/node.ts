/** On a real node: what pods/resize changes is what the kernel enforces, and the node leaves nothing behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { STRATEGIC } from '../cluster/client.ts'
import { buildEmpty } from '../cluster/images.ts'
import { startNode } from '../cluster/node.ts'
import { pathOf, podOn, removePod, startPod, statusOf } from '../cluster/pods.ts'
import { mayResize } from '../cluster/rights.ts'
import { EMPTY_IMAGE, torchServeContainer, USER } from '../cluster/torchserve-pod.ts'
import { call } from '../http.ts'
import { until } from '../until.ts'

t.setTimeout(240_000)

const NS = 'serving'
const MIB = 2 ** 20

const node = await startNode()
t.teardown(() => node.stop())
const { admin } = node
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
await node.addNamespace(NS)
await admin.apply(...mayResize(NS, { kind: 'ServiceAccount', name: 'default' }, ['patch']))

const torchserve = { namespace: NS, pod: 'ts', container: 'torchserve' }
const memory = (requests: number, limits: number) => ({
  requests: { memory: `${requests}Mi` },
  limits: { memory: `${limits}Mi` },
})
const folder = join(node.folder, 'torchserve')
mkdirSync(folder)
const model = await torchServeContainer(folder, [{ name: 'm', behaviour: { serviceMs: 10 } }])
const pod = await startPod(
  node,
  podOn(NS, 'ts', {
    containers: [{ ...model.container, resources: memory(700, 1000) }],
    volumes: model.volumes,
  }),
)
const bound = { namespace: NS, serviceAccount: 'default', pod: pod.metadata ?? {} }
const agent = node.as(await node.token(bound))
const resize = (requests: number, limits: number) =>
  agent.call(
    'PATCH',
    `${pathOf(NS, 'ts')}/resize`,
    { spec: { containers: [{ name: 'torchserve', resources: memory(requests, limits) }] } },
    STRATEGIC,
  )
const status = async () => {
  const [container] = statusOf(await admin.ok('GET', pathOf(NS, 'ts'))).containerStatuses ?? []
  return container
}
const limited = async (mebibytes: number, timeoutMs: number) =>
  until(async () => (await node.memory(torchserve)).limit === mebibytes * MIB, timeoutMs, 2)

t.test('TorchServe serves in a pod', async t => {
  const url = await node.reach(statusOf(pod).podIP ?? '', 8080)
  const ask = () => call(new URL('/predictions/m', url), { method: 'POST', body: 'r1' })
  t.ok(await until(async () => (await ask().catch(() => undefined))?.status === 200, 60_000))
  t.equal((await node.memory(torchserve)).limit, 1000 * MIB)
  const { stdout, stderr } = await node.exec(torchserve, ['/bin/sh', '-c', 'id -u; pwd; hostname'])
  t.same(stdout.split('\n').slice(0, 3), [String(USER), folder, 'ts'], stderr)
  t.match(node.log(torchserve), /Torch worker started/)
})

t.test('a resize by the pod’s own token is enforced, and nothing restarts', async t => {
  const before = await node.memory(torchserve)
  const startMs = performance.now()
  t.equal((await resize(800, 1200)).status, 200)
  t.ok(await limited(1200, 10_000))
  t.comment(`raised in the cgroup ${Math.round(performance.now() - startMs)} ms after the call`)
  t.equal((await node.memory(torchserve)).podLimit - before.podLimit, 200 * MIB, 'the pod’s too')
  t.equal((await resize(750, 1100)).status, 200)
  t.ok(await limited(1100, 10_000), 'lowered')
  t.match(await status(), { restartCount: 0 })
})

t.test('with the kubelet stopped a resize is accepted and waits', async t => {
  await node.kubelet.stop()
  t.equal((await resize(800, 1300)).status, 200)
  await sleep(1_000)
  t.equal((await node.memory(torchserve)).limit, 1100 * MIB, 'not enforced')
  await node.kubelet.start()
  t.ok(await limited(1300, 60_000), 'enforced once it is back')
  t.match(await status(), { restartCount: 0 })
})

t.test('a deleted pod is gone, with its cgroup', async t => {
  const cgroups = () =>
    globSync(`/sys/fs/cgroup/memory/**/${basename(node.folder)}/kubepods/**/pod*`)
  t.equal(cgroups().length, 1)
  await removePod(node, NS, 'ts')
  t.ok(await until(() => cgroups().length === 0, 10_000))
})

t.test('a test that is killed leaves nothing', async t => {
  const program = `import { startNode } from '${join(import.meta.dirname, '../cluster/node.ts')}'
    console.log((await startNode()).folder)
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [left] = (await once(createInterface(child.stdout), 'line')) as [string]
  t.ok(existsSync(left))
  const traces = () => [
    ...globSync(`/sys/fs/cgroup/**/${basename(left)}`),
    ...globSync('/proc/[0-9]*').filter(process => mentions(process, left)),
    ...(existsSync(left) ? [left] : []),
  ]
  t.ok(traces().length > 5, 'it had cgroups and processes')
  child.kill('SIGKILL')
  await until(() => traces().length === 0, 10_000)
  t.same(traces(), [])
})

/** Whether a process was started with, or works in, something below the folder. */
function mentions(process: string, path: string): boolean {
  try {
    const words = readFileSync(join(process, 'cmdline'), 'utf8')
    return words.includes(path) || readlinkSync(join(process, 'cwd')).startsWith(path)
  } catch {
    return false // gone meanwhile
  }
}
