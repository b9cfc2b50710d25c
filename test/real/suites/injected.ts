/**
 * A plain TorchServe pod, injected by `stoker inject`, on a real node under the policy: its workers follow the load, its memory follows
 * the workers, and nothing restarts.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Told } from '../agent.ts'
import { AGENT_IMAGE, importAgent } from '../cluster/agent-pod.ts'
import type { Manifest } from '../cluster/client.ts'
import { buildEmpty } from '../cluster/images.ts'
import { readManifests } from '../cluster/manifests.ts'
import { startNode } from '../cluster/node.ts'
import { pathOf, podOn, startPod, statusOf } from '../cluster/pods.ts'
import { mayResize } from '../cluster/rights.ts'
import { EMPTY_IMAGE, torchServeContainer, USER } from '../cluster/torchserve-pod.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(240_000)

const NS = 'serving'
const MIB = 2 ** 20
const WORKER_MIB = 150
const repository = join(import.meta.dirname, '../../..')
const torchserve = { namespace: NS, pod: 'ts', container: 'torchserve' }

const node = await startNode()
t.teardown(() => node.stop())
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
await importAgent(node)
await node.addNamespace(NS)
await node.admin.apply(
  ...readManifests(join(repository, 'k8s/policies/resize-own-pod.yaml')),
  ...mayResize(NS, { kind: 'ServiceAccount', name: 'default' }, ['patch']),
)

const resources = { requests: { memory: '600Mi' }, limits: { memory: '700Mi' } }

/** As `stoker inject` makes it of a pod without a word of Stoker but its label and annotations. */
function injected(spec: object): Manifest {
  const plain = podOn(NS, 'ts', spec)
  plain.metadata['labels'] = { 'stoker.dev/inject': 'true' }
  plain.metadata.annotations = {
    'stoker.dev/container': 'torchserve',
    'stoker.dev/max-memory': '2Gi',
    'stoker.dev/share-processes': 'true',
    'stoker.dev/hold-ms': '5000',
  }
  const command = [join(repository, 'src/main.ts'), 'inject', '--image', AGENT_IMAGE]
  const input = JSON.stringify(plain)
  const words = [...command, '--pull-policy', 'Never', '-']
  return JSON.parse(execFileSync(process.execPath, words, { input, encoding: 'utf8' })) as Manifest
}

/** What is seen from outside at one moment; memory in MiB. */
interface Moment {
  requested: number
  limit: number
  ready: number
  restarts: number
  usage: number
}

/** Looks again and again until `condition` holds; what it sees goes into `moments`, and what changes into the test's output. */
async function watch(
  t: Test,
  page: URL,
  moments: Moment[],
  condition: (moment: Moment) => boolean,
  timeoutMs: number,
): Promise<boolean> {
  const startMs = Date.now()
  const look = async () => {
    const moment = await lookOnce(page)
    const { usage, ...steady } = moment
    const { usage: _, ...before } = moments.at(-1) ?? { usage }
    moments.push(moment)
    if (JSON.stringify(steady) !== JSON.stringify(before))
      t.comment(`${Date.now() - startMs} ms: ${JSON.stringify(moment)}`)
    return condition(moment)
  }
  return until(look, timeoutMs, 100)
}

async function lookOnce(page: URL): Promise<Moment> {
  const [pod, memory, reply] = await Promise.all([
    node.admin.ok('GET', pathOf(NS, 'ts')),
    node.memory(torchserve),
    fetch(new URL('/decisions', page), { signal: AbortSignal.timeout(5_000) }),
  ])
  const { decisions } = (await reply.json()) as { decisions: Told[] }
  const { containers } = pod['spec'] as { containers: [{ resources: typeof resources }] }
  return {
    requested: Number.parseInt(containers[0].resources.requests.memory),
    limit: memory.limit / MIB,
    ready: decisions.find(each => each.model === 'm')?.inputs.ready ?? 0,
    restarts: statusOf(pod).containerStatuses?.[0]?.restartCount ?? 0,
    usage: Math.round(memory.usage / MIB),
  }
}

t.test('memory comes before each worker, and goes after it', async t => {
  const folder = join(node.folder, 'torchserve')
  mkdirSync(folder)
  const behaviour = { serviceMs: 100, allocMiB: WORKER_MIB }
  const model = await torchServeContainer(folder, [{ name: 'm', behaviour }])
  const pod = injected({
    securityContext: { runAsUser: USER, runAsGroup: USER },
    containers: [{ ...model.container, resources }],
    volumes: model.volumes,
  })
  const { podIP = '' } = statusOf(await startPod(node, pod))
  const [page, inference] = [await node.reach(podIP, 9790), await node.reach(podIP, 8080)]
  const url = `${inference.origin}/predictions/m`
  const served = async () => (await fetch(url, { method: 'POST', body: 'first' })).ok
  t.ok(await until(() => served().catch(() => false), 60_000, 200), 'TorchServe serves')

  const moments: Moment[] = []
  const traffic = startTraffic({ url, rps: 3, seed: 1, timeoutMs: 30_000 })
  // What a worker costs is learned from those that serve.
  await watch(t, page, moments, () => false, 10_000)
  traffic.setRate(25)
  t.ok(await watch(t, page, moments, ({ ready }) => ready >= 5, 60_000), 'workers come')
  await watch(t, page, moments, () => false, 5_000)
  const peak = moments.at(-1)
  traffic.setRate(3)
  const back = ({ ready, limit }: Moment) => ready <= 3 && limit < (peak?.limit ?? 0) - WORKER_MIB
  t.ok(await watch(t, page, moments, back, 90_000), 'workers go, and their memory')
  const verdict = judge(await traffic.stop(), model.log('m').executions)

  for (let workers = 2; workers <= (peak?.ready ?? 0); workers++) {
    const first = moments.findIndex(({ ready }) => ready >= workers)
    const enforced = moments[first - 1]?.limit ?? 0
    // The middle of what was seen: the agent's count is up to a second older than the usage.
    const used = moments.filter(({ ready }) => ready === workers).map(({ usage }) => usage)
    const middle = used.toSorted((a, b) => a - b)[Math.floor(used.length / 2)] ?? 0
    t.ok(
      enforced > middle,
      `${workers} workers use ${middle} MiB; before, ${enforced} were enforced`,
    )
  }
  t.ok((peak?.requested ?? 0) > 600, 'the request rose, too')
  t.same(
    moments.filter(({ restarts }) => restarts > 0),
    [],
    'nothing restarted',
  )
  t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []], 'no request was lost')
})
