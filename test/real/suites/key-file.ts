/**
 * On a real node: a pod whose TorchServe asks for tokens, injected with the annotations that share its key file and leave the service
 * account's token to the agent alone: the agent tends TorchServe, and TorchServe has no token of the cluster's.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { inject } from '../../../src/inject/inject.ts'
import { asPod } from '../../inject/golden.ts'
import type { Told } from '../agent.ts'
import { AGENT_IMAGE, importAgent } from '../cluster/agent-pod.ts'
import { buildEmpty } from '../cluster/images.ts'
import { readManifests } from '../cluster/manifests.ts'
import { startNode } from '../cluster/node.ts'
import { podOn, startPod, statusOf } from '../cluster/pods.ts'
import { EMPTY_IMAGE, torchServeContainer } from '../cluster/torchserve-pod.ts'
import { until } from '../until.ts'

t.setTimeout(240_000)

/** That of k8s/examples/rights.yaml. */
const NS = 'models'

const node = await startNode()
t.teardown(() => node.stop())
await importAgent(node)
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
await node.addNamespace(NS)
for (const file of ['policies/resize-own-pod.yaml', 'examples/rights.yaml'])
  await node.admin.apply(...readManifests(join(import.meta.dirname, '../../../k8s', file)))

t.test(
  'the agent reads TorchServe’s key file, and TorchServe no token of the cluster’s',
  async t => {
    const folder = join(node.folder, 'keys')
    await mkdir(folder)
    const model = await torchServeContainer(folder, [{ name: 'm', behaviour: { serviceMs: 100 } }])
    // Where its image starts it, and with its tokens.
    const { workingDir: _, command, ...container } = model.container
    const words = (command as string[]).filter(word => word !== '--disable-token-auth')
    const pod = podOn(NS, 'keys', {
      automountServiceAccountToken: true,
      containers: [{ ...container, command: words }],
      volumes: model.volumes,
    })
    pod.metadata.annotations = {
      'stoker.dev/container': 'torchserve',
      'stoker.dev/share-key-file': 'true',
      'stoker.dev/agent-only-token': 'true',
      'stoker.dev/max-memory': '2Gi',
    }
    const { outcome, operations } = inject(asPod(pod), {
      image: AGENT_IMAGE,
      pullPolicy: 'Never',
      defaults: {},
    })
    t.equal(outcome, 'injected')
    applyPatch(pod, structuredClone([...operations]))
    const podIp = statusOf(await startPod(node, pod)).podIP ?? ''

    const page = await node.reach(podIp, 9790)
    const get = async (path: string) => {
      const reply = await fetch(new URL(path, page), { signal: AbortSignal.timeout(5_000) })
      return reply.text()
    }
    const ready = async () =>
      (JSON.parse(await get('/decisions')) as { decisions: Told[] }).decisions[0]?.inputs.ready ?? 0
    const tends = () =>
      ready().then(
        count => count > 0,
        () => false,
      )
    t.ok(await until(tends, 60_000, 500), 'the agent tends TorchServe')
    // A start leaves notes until the next look.
    const notes = async () => (await get('/metrics')).match(/^stoker_notes\{.*/gm) ?? []
    await until(async () => (await notes()).length === 0, 20_000, 500)
    t.same(await notes(), [], 'nothing for a person to do: its own token lets it see its pod')
    const place = { namespace: NS, pod: 'keys', container: 'torchserve' }
    const look = 'import os; print(os.path.exists("/var/run/secrets/kubernetes.io"))'
    t.equal((await node.exec(place, ['python', '-c', look])).stdout.trim(), 'False')
  },
)
