/**
 * Another pod fills the node: an agent asks for memory, gives up, and asks again when what it learned is ten minutes old. Real agent,
 * TorchServe and kubelet; takes a quarter of an hour.
 */
import t from 'tap'
import { PAUSE_IMAGE } from '../cluster/names.ts'
import { podOn, removePod, startPod } from '../cluster/pods.ts'
import { NS, startMemoryNode, startServing } from '../memory-pod.ts'
import { comesDown, neverWithoutMemory, neverWithoutReason, record } from '../memory-record.ts'
import { startTraffic } from '../traffic.ts'

t.setTimeout(1_100_000)

const NODE_MIB = 1400
const FILLER_MIB = 580
const WORKER_MIB = 150
const LOW_RPS = 3
const HIGH_RPS = 25
/** A wish that is Deferred is left for 15 s. */
const WISH_MS = 20_000
const FORGOTTEN_MS = 10 * 60_000

const node = await startMemoryNode({ memoryMiB: NODE_MIB })
t.teardown(() => node.stop())

await t.test('a wish that is deferred is taken back, and granted after room has come', async t => {
  const resources = { requests: { memory: `${FILLER_MIB}Mi` } }
  const container = { name: 'main', image: PAUSE_IMAGE, imagePullPolicy: 'Never', resources }
  await startPod(node, podOn(NS, 'filler', { containers: [container] }))
  const serving = await startServing(node, 'ts', { serviceMs: 100, allocMiB: WORKER_MIB })
  const recorder = record(t, node, serving)
  const traffic = startTraffic({ url: serving.url, rps: LOW_RPS, seed: 1, timeoutMs: 20_000 })
  await recorder.sees(() => false, 8_000)
  traffic.setRate(HIGH_RPS)
  t.ok(await recorder.sees(({ condition }) => condition === 'Deferred', 60_000), 'deferred')
  const { allocated } = recorder.last()
  const back = await recorder.sees(
    each => each.request === allocated && each.condition === '',
    WISH_MS,
  )
  t.ok(back, 'taken back')
  const gaveUpMs = Date.now()
  await recorder.sees(() => false, 10_000)
  const told = recorder.decisions().at(-1)
  t.ok((told?.inputs.podDemand ?? 0) > 1, `the pod asks for more pods: ${told?.inputs.podDemand}`)
  await removePod(node, NS, 'filler')
  t.ok(
    await recorder.sees(({ workers }) => workers >= 4, FORGOTTEN_MS + 60_000),
    'granted, and workers come',
  )
  t.comment(`${Math.round((Date.now() - gaveUpMs) / 1000)} s after it gave up`)
  traffic.setRate(LOW_RPS)
  t.ok(await comesDown(recorder, 90_000), 'the request comes down')
  await traffic.stop()
  await recorder.stop()
  neverWithoutMemory(t, recorder.samples)
  neverWithoutReason(t, recorder, WISH_MS)
  t.equal(recorder.last().restarts, 0, 'nothing restarted')
})
