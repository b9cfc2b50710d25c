/**
 * A plain TorchServe pod, injected by `stoker inject`, on a real node under the policy: its workers follow the load, its memory follows
 * the workers, and nothing restarts. With STOKER_PICTURE=FILE the run is drawn.
 */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { FIRST, startMemoryNode, startServing, MODEL } from '../memory-pod.ts'
import { draw } from '../memory-picture.ts'
import { comesDown, neverWithoutMemory, neverWithoutReason, record } from '../memory-record.ts'
import type { Recorder } from '../memory-record.ts'
import type { ModelLog } from '../models.ts'
import { judge, startTraffic } from '../traffic.ts'

t.setTimeout(240_000)

const MIB = 2 ** 20
const WORKER_MIB = 150
const LOW_RPS = 3
const HIGH_RPS = 25
const EVERY_MS = 20
const LEARN_MS = 10_000

const node = await startMemoryNode()
t.teardown(() => node.stop())

await t.test('memory comes before each worker, and goes after it', async t => {
  const serving = await startServing(node, 'ts', { serviceMs: 100, allocMiB: WORKER_MIB })
  const recorder = record(t, node, serving, EVERY_MS)
  const traffic = startTraffic({ url: serving.url, rps: LOW_RPS, seed: 1, timeoutMs: 30_000 })
  const loads = [{ atMs: Date.now(), rps: LOW_RPS }]
  const load = (rps: number) => {
    traffic.setRate(rps)
    loads.push({ atMs: Date.now(), rps })
  }
  // What a worker costs is learned from those that serve.
  await recorder.sees(() => false, LEARN_MS)
  load(HIGH_RPS)
  t.ok(await recorder.sees(({ workers }) => workers >= 5, 60_000), 'workers come')
  await recorder.sees(() => false, 5_000)
  const peak = recorder.last()
  load(LOW_RPS)
  const gone = await recorder.sees(
    ({ workers, enforced }) => workers <= 3 && enforced < peak.enforced - WORKER_MIB,
    90_000,
  )
  t.ok(gone, 'workers go, and their memory')
  t.ok(await comesDown(recorder, 60_000), 'what they asked for goes, too')
  await recorder.sees(() => false, 2_000)
  const log = serving.model.log(MODEL)
  const verdict = judge(await traffic.stop(), log.executions)
  await recorder.stop()

  neverWithoutMemory(t, recorder.samples)
  neverWithoutReason(t, recorder, 5_000)
  t.ok(peak.request > FIRST.request, 'the request rose, too')
  t.equal(recorder.last().restarts, 0, 'nothing restarted')
  t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []], 'no request was lost')
  for (const text of delays(recorder, log)) t.comment(text)
  const file = process.env['STOKER_PICTURE']
  const marks = [...recorder.resizes(), ...recorder.decisions()].flatMap(({ atMs, action }) =>
    action && atMs >= (recorder.samples[0]?.atMs ?? 0) ? [{ atMs, kind: action.kind }] : [],
  )
  if (file) writeFileSync(file, draw({ samples: recorder.samples, loads, marks }))
})

/** A line for each raise: how long until the cgroup had it, until workers were ordered, and until the first of these had answered. */
function delays(recorder: Recorder, { executions, loads }: ModelLog): string[] {
  const orders = recorder.decisions().filter(({ action }) => action?.kind === 'grow')
  return recorder.resizes().flatMap(({ atMs, action }) => {
    if (action?.kind !== 'raise') return []
    const limit = (action.to.limitBytes ?? Infinity) / MIB
    const after = (ms: number | undefined) => `${Math.round((ms ?? NaN) - atMs)} ms`
    const enforced = recorder.samples.find(each => each.atMs > atMs && each.enforced >= limit)
    const order = orders.find(each => each.atMs > atMs)
    const inCgroup = `raise to ${Math.round(limit)} MiB decided; in the cgroup after ${after(enforced?.atMs)}`
    if (!order) return `${inCgroup}, and no worker was wanted any more`
    const started = loads.filter(({ beginMs }) => beginMs > order.atMs)
    const pids = new Set(started.map(({ pid }) => pid))
    const answered = executions.find(({ pid, endMs }) => pids.has(pid) && endMs !== undefined)
    return `${inCgroup}, workers ordered after ${after(order.atMs)}, the first of them had answered after ${after(answered?.endMs)}`
  })
}
