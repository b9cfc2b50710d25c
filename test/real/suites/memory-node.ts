/**
 * What can go wrong between an agent and its kubelet, on a real node with a real TorchServe: refusals, a kubelet that is away, kills,
 * deletion. Two more cases that take minutes are suites of their own, memory-deferred and memory-kills.
 */
import { writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Process } from '../cluster/foundation.ts'
import { pathOf, removePod } from '../cluster/pods.ts'
import { NS, startMemoryNode, startServing, type Serving } from '../memory-pod.ts'
import { comesDown, neverWithoutMemory, neverWithoutReason, record } from '../memory-record.ts'
import type { Recorder } from '../memory-record.ts'
import { startTraffic, type Traffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(900_000)

const AGENT_MIB = 192
const NODE_MIB = 1200
const WORKER_MIB = 150
/** Of a worker that is smaller than TorchServe's own process: the kernel kills the largest. */
const SMALL_MIB = 50
/** Processes that take so much each, until the kernel kills. */
const HOGS = `
import os, time
for _ in range(60):
    if os.fork() == 0:
        held = bytearray(b'x' * (20 << 20))
        time.sleep(60)
os.wait()
`
const LOW_RPS = 3
const HIGH_RPS = 25
const LEARN_MS = 8_000
/** A wish that is Deferred is left for 15 s, and one that the kubelet does nothing about for 60 s. */
const WISH_MS = 20_000
const SILENT_MS = 70_000

const node = await startMemoryNode({ memoryMiB: NODE_MIB })
t.teardown(() => node.stop())

interface Scene {
  serving: Serving
  recorder: Recorder
  traffic: Traffic
}

/** A pod under a little load whose worker's cost has been learned; it is removed after the test. */
async function play(t: Test, name: string, allocMiB = WORKER_MIB): Promise<Scene> {
  const serving = await startServing(node, name, { serviceMs: 100, allocMiB })
  const recorder = record(t, node, serving)
  const traffic = startTraffic({ url: serving.url, rps: LOW_RPS, seed: 1, timeoutMs: 20_000 })
  t.teardown(async () => {
    node.kubelet.thaw()
    await traffic.stop()
    await recorder.stop()
    const { status } = await node.admin.call('GET', pathOf(NS, name))
    if (status !== 404) await removePod(node, NS, name)
  })
  await new Promise(resolve => setTimeout(resolve, LEARN_MS))
  return { serving, recorder, traffic }
}

const placeOf = (name: string) => ({ namespace: NS, pod: name, container: 'torchserve' })

await t.test(
  'more than the node can ever give is refused at once, and what it can give is used',
  async t => {
    const { recorder, traffic } = await play(t, 'infeasible')
    traffic.setRate(60)
    const refused = () =>
      recorder.resizes().some(({ outcomes }) => outcomes.some(({ kind }) => kind === 'failed'))
    t.ok(await until(refused, 60_000, 100), 'the API server refuses')
    t.ok(
      await recorder.sees(({ workers }) => workers >= 3, 60_000),
      'workers come, as far as the memory goes',
    )
    const exceeds = () => recorder.decisions().some(({ inputs }) => (inputs.podDemand ?? 0) > 1)
    t.ok(await until(exceeds, 30_000, 100), 'the pod asks for more pods')
    const most = Math.max(...recorder.samples.map(({ request }) => request))
    t.ok(most <= NODE_MIB - AGENT_MIB, `it never asks for more than the node has: ${most}`)
    traffic.setRate(LOW_RPS)
    t.ok(await comesDown(recorder, 90_000), 'the request comes down')
    neverWithoutMemory(t, recorder.samples)
    neverWithoutReason(t, recorder, WISH_MS)
    t.equal(recorder.last().restarts, 0, 'nothing restarted')
  },
)

await t.test(
  'a decrease that the kubelet refuses for page cache is taken back, and done later',
  async t => {
    const { serving, recorder, traffic } = await play(t, 'cache')
    traffic.setRate(HIGH_RPS)
    t.ok(
      await recorder.sees(({ workers, enforced }) => workers >= 4 && enforced > 900, 60_000),
      'workers come',
    )
    traffic.setRate(LOW_RPS)
    // A worker that went later would make room after all.
    await recorder.sees(({ workers }) => workers <= 2, 120_000)
    // The kubelet sees the wish only after the container has filled its memory with pages of a file.
    node.kubelet.freeze()
    const { limit } = recorder.last()
    const asked = recorder.sees(sample => sample.limit < limit, 30_000)
    t.ok(await asked, 'a lower limit is asked for')
    const file = `${serving.folder}/cache`
    const fill = ['dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', 'count=900']
    const filled = await node.exec(placeOf('cache'), ['/usr/bin/env', ...fill])
    t.equal(filled.code, 0, filled.stderr)
    const { usage, request } = recorder.last()
    node.kubelet.thaw()
    t.ok(
      await recorder.sees(({ condition }) => condition === 'Error', 60_000),
      `refused, with ${usage} MiB in use`,
    )
    t.ok(
      await recorder.sees(
        sample => sample.limit === sample.enforced && sample.condition === '',
        60_000,
      ),
      'taken back',
    )
    t.ok(recorder.last().request <= request, 'the request stays down')
    await node.exec(placeOf('cache'), ['/usr/bin/env', 'rm', file])
    t.ok(
      await recorder.sees(({ enforced }) => enforced < limit - WORKER_MIB, 180_000),
      'done when the pages are gone',
    )
    neverWithoutMemory(t, recorder.samples)
    neverWithoutReason(t, recorder, WISH_MS)
    t.equal(recorder.last().restarts, 0, 'nothing restarted')
  },
)

await t.test('while the kubelet is down no worker comes; it is back, and they do', async t => {
  const { recorder, traffic } = await play(t, 'away')
  const { request, enforced, workers } = recorder.last()
  await node.kubelet.stop()
  traffic.setRate(HIGH_RPS)
  t.ok(await recorder.sees(sample => sample.request > request, 30_000), 'more is asked for')
  await recorder.sees(() => false, 10_000)
  t.equal(recorder.last().enforced, enforced, 'nothing is enforced')
  const room = Math.floor((enforced - recorder.last().base) / recorder.last().worker)
  t.ok(recorder.last().workers <= Math.max(workers, room), 'no worker without memory')
  await node.kubelet.start()
  t.ok(await recorder.sees(sample => sample.enforced > enforced, 60_000), 'it is enforced')
  t.ok(await recorder.sees(sample => sample.workers >= 4, 60_000), 'workers come')
  traffic.setRate(LOW_RPS)
  t.ok(await comesDown(recorder, 90_000), 'the request comes down')
  neverWithoutMemory(t, recorder.samples)
  neverWithoutReason(t, recorder, SILENT_MS)
  t.equal(recorder.last().restarts, 0, 'nothing restarted')
})

await t.test(
  'TorchServe is killed for want of memory while more is under way: once, and the pod is set right',
  async t => {
    const { recorder, traffic } = await play(t, 'killed', SMALL_MIB)
    const { request } = recorder.last()
    // It hangs between the wish and the kill, so that the wish meets a container that is down.
    node.kubelet.freeze()
    traffic.setRate(HIGH_RPS)
    t.ok(await recorder.sees(sample => sample.request > request, 30_000), 'more is asked for')
    for (const { pid } of (await processesOf('killed')).filter(isJava))
      writeFileSync(`/proc/${pid}/oom_score_adj`, '1000')
    await node.exec(placeOf('killed'), ['/usr/bin/env', 'python3', '-c', HOGS])
    const isGone = async () => !(await processesOf('killed')).some(isJava)
    t.ok(await until(isGone, 30_000, 50), 'TorchServe is killed')
    node.kubelet.thaw()
    t.ok(
      await recorder.sees(({ restarts, workers }) => restarts === 1 && workers > 0, 60_000),
      'it starts anew',
    )
    t.ok(await recorder.sees(({ workers }) => workers >= 3, 90_000), 'it grows')
    const right = recorder.last()
    t.ok(
      right.podEnforced >= right.enforced + AGENT_MIB,
      `the pod has room for both: ${right.podEnforced}`,
    )
    traffic.setRate(LOW_RPS)
    t.ok(await comesDown(recorder, 120_000), 'the request comes down')
    t.equal(recorder.last().restarts, 1, 'it was killed once')
    // Before, it is the memory of the others in the container that is missing.
    const anew = recorder.samples.filter(({ restarts }) => restarts === 1)
    neverWithoutMemory(t, anew)
    neverWithoutReason(t, recorder, WISH_MS)
  },
)

/** None while the container does not run. */
async function processesOf(name: string): Promise<readonly Process[]> {
  const memory = await node.memory(placeOf(name)).catch(() => undefined)
  return memory?.processes ?? []
}

function isJava({ command }: Process): boolean {
  return command.includes('org.pytorch.serve.ModelServer')
}

await t.test('a pod that is deleted during a resize is left as it is', async t => {
  const { recorder, traffic } = await play(t, 'deleted')
  const { request, workers } = recorder.last()
  node.kubelet.freeze()
  traffic.setRate(HIGH_RPS)
  t.ok(await recorder.sees(sample => sample.request > request, 30_000), 'more is asked for')
  await node.admin.ok('DELETE', pathOf(NS, 'deleted'))
  await recorder.sees(() => false, 3_000)
  node.kubelet.thaw()
  const gone = async () => (await node.admin.call('GET', pathOf(NS, 'deleted'))).status === 404
  t.ok(await until(gone, 60_000, 100), 'it is gone')
  const ending = recorder.samples.filter(({ terminating }) => terminating)
  const asked = new Set(ending.map(sample => `${sample.request}/${sample.limit}`))
  t.equal(asked.size, 1, `nothing is asked for any more: ${[...asked].join(', ')}`)
  t.ok(
    ending.every(sample => sample.workers <= workers),
    'no worker comes',
  )
  neverWithoutMemory(t, recorder.samples)
})
