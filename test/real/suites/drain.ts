/**
 * Two TorchServe pods are deleted under open-loop load, which goes on reaching them for two seconds, as proxies do, and then goes
 * to a server that stays: one pod is as it was, and loses requests, the other has the drain injected, and loses none.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer, request, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AGENT_IMAGE, importAgent } from '../cluster/agent-pod.ts'
import type { Manifest } from '../cluster/client.ts'
import { buildEmpty } from '../cluster/images.ts'
import { startNode } from '../cluster/node.ts'
import { pathOf, podOn, startPod, statusOf } from '../cluster/pods.ts'
import { EMPTY_IMAGE, torchServeContainer, USER } from '../cluster/torchserve-pod.ts'
import { judge, startTraffic, type Verdict } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(480_000)

const NS = 'serving'
const GRACE_S = 40
const PROXY_MS = 2_000
const repository = join(import.meta.dirname, '../../..')

const node = await startNode()
t.teardown(() => node.stop())
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
await importAgent(node)
await node.addNamespace(NS)

function injected(plain: Manifest): Manifest {
  const words = [join(repository, 'src/main.ts'), 'inject', '--image', AGENT_IMAGE]
  const input = JSON.stringify(plain)
  const more = ['--pull-policy', 'Never', '-']
  const output = execFileSync(process.execPath, [...words, ...more], { input, encoding: 'utf8' })
  return JSON.parse(output) as Manifest
}

interface Server {
  name: string
  inference: URL
}

async function serve(name: string, drain: boolean): Promise<Server & { page: URL }> {
  const folder = join(node.folder, name)
  mkdirSync(folder)
  const model = await torchServeContainer(folder, [{ name: 'm', behaviour: { serviceMs: 400 } }])
  const plain = podOn(NS, name, {
    terminationGracePeriodSeconds: GRACE_S,
    securityContext: { runAsUser: USER },
    containers: [model.container],
    volumes: model.volumes,
  })
  plain.metadata['labels'] = { 'stoker.dev/inject': 'true' }
  plain.metadata.annotations = {
    'stoker.dev/container': 'torchserve',
    'stoker.dev/max-workers': '2',
    // As process 1 of a container TorchServe’s launcher never hears SIGTERM; in a shared PID namespace it is not process 1.
    'stoker.dev/share-processes': 'true',
    ...(drain && { 'stoker.dev/drain': 'true' }),
  }
  const { podIP = '' } = statusOf(await startPod(node, injected(plain)))
  const [page, inference] = [await node.reach(podIP, 9790), await node.reach(podIP, 8080)]
  const url = `${inference.origin}/predictions/m`
  const served = async () => (await fetch(url, { method: 'POST', body: 'first' })).ok
  if (!(await until(() => served().catch(() => false), 90_000, 200)))
    throw new Error(`${name} does not serve`)
  return { name, page, inference }
}

/** What a Service does: each request goes to the next of the servers, and a broken connection is the client's to see. */
async function startBalancer() {
  let servers: readonly Server[] = []
  let turn = 0
  const balancer = createServer((incoming, outgoing) => {
    const { inference } = servers[turn++ % servers.length] ?? {
      inference: new URL('http://[::1]:9'),
    }
    const { method = 'POST', url: path = '/', headers } = incoming
    const { hostname: host, port } = inference
    const sent = request({ host, port, method, path, headers, agent: false }, reply => {
      outgoing.writeHead(reply.statusCode ?? 502)
      reply.on('error', () => outgoing.destroy()).pipe(outgoing)
    })
    sent.on('error', () => outgoing.destroy())
    incoming.pipe(sent)
  })
  const { origin } = await listening(balancer)
  return {
    url: `${origin}/predictions/m`,
    to: (...next: readonly Server[]) => void (servers = next),
  }
}

async function listening(server: HttpServer): Promise<URL> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

const other = createServer((incoming, outgoing) => {
  incoming.resume().on('end', () => outgoing.end('served'))
})
const stays = { name: 'stays', inference: await listening(other) }
const [plain, drained] = await Promise.all([serve('plain', false), serve('drained', true)])
const balancer = await startBalancer()

/** Deletes the pod under load; what clients saw, and how long it took to go. */
async function remove(server: Server, seed: number, meanwhile: () => Promise<void>) {
  balancer.to(server, stays)
  const traffic = startTraffic({ url: balancer.url, rps: 6, seed, timeoutMs: 30_000 })
  await sleep(8_000)
  const path = pathOf(NS, server.name)
  const startMs = Date.now()
  await node.admin.ok('DELETE', path)
  await sleep(PROXY_MS)
  balancer.to(stays)
  await meanwhile()
  await node.admin.waitFor(path, ({ status }) => status === 404, (GRACE_S + 20) * 1_000)
  const tookMs = Date.now() - startMs
  return { tookMs, verdict: judge(await traffic.stop(), []) }
}

const told = ({ sent, answered, lost, hung }: Verdict, tookMs: number) => {
  const resets = lost.filter(({ outcome }) => outcome === 'reset').length
  return `${sent} sent, ${answered} answered, ${lost.length} lost (${resets} reset), ${hung.length} hung; gone after ${Math.round(tookMs / 1000)} s`
}

t.test('without the drain requests are lost', async t => {
  const { verdict, tookMs } = await remove(plain, 1, () => Promise.resolve())
  t.comment(told(verdict, tookMs))
  t.ok(verdict.lost.length > 0)
})

t.test('with it none is, and the pod does not wait for its time to be up', async t => {
  const { verdict, tookMs } = await remove(drained, 2, async () => {
    const ask = async (path: string) =>
      (await fetch(new URL(path, drained.page), { signal: AbortSignal.timeout(5_000) })).json()
    t.match(await ask('/state'), { drain: { done: false } })
    t.same(await ask('/scaling'), { podDemand: 0, draining: true })
  })
  t.comment(told(verdict, tookMs))
  t.same([verdict.lost, verdict.hung], [[], []])
  t.ok(tookMs < (GRACE_S - 5) * 1_000, `${tookMs} ms`)
})
