/**
 * The chart with a given Secret, by helm on a real node: its two webhooks show what the kubelet mounts, and what it brings when the
 * Secret is replaced, while pods are created, each with the agent. By its name only: the kubelet takes its time, a minute or more.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAuthority, sign } from '../certificates.ts'
import { AGENT_IMAGE, importAgent } from '../cluster/agent-pod.ts'
import type { Body, Manifest } from '../cluster/client.ts'
import { startNode } from '../cluster/node.ts'
import { helmOn } from '../helm.ts'
import { dryRun, isInjected, plain, settled, NS, SYSTEM } from '../injection.ts'
import { until } from '../until.ts'
import { kubeConfig } from '../webhook.ts'

t.setTimeout(400_000)

const SECRET = 'given'
const MOUNTED_MS = 150_000
const [repository = '', tag = ''] = AGENT_IMAGE.split(':')

const node = await startNode({ isCluster: true })
t.teardown(() => node.stop())
const { admin } = node
await importAgent(node)
for (const name of [SYSTEM, NS]) await node.addNamespace(name)
const folder = join(node.folder, 'given')
mkdirSync(folder)
const kubeconfig = join(folder, 'kubeconfig')
writeFileSync(kubeconfig, kubeConfig(node, node.tokens.admin), { mode: 0o600 })
const authority = await createAuthority(join(folder, 'authority'))

let pairs = 0
async function give(): Promise<void> {
  const { cert, key } = await sign(authority, join(folder, String(++pairs)), `stoker.${SYSTEM}.svc`)
  const stringData = { 'tls.crt': readFileSync(cert, 'utf8'), 'tls.key': readFileSync(key, 'utf8') }
  const metadata = { name: SECRET, namespace: SYSTEM }
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls' }
  await admin.apply({ ...secret, stringData } satisfies Manifest)
}

/** How many pairs each webhook has shown. */
async function shown(): Promise<number[]> {
  const { items } = await admin.ok('GET', `/api/v1/namespaces/${SYSTEM}/pods`)
  return (items as Body[]).map(({ metadata }) => {
    const place = { namespace: SYSTEM, pod: metadata?.name ?? '', container: 'webhook' }
    return node.log(place).match(/certificate is shown/g)?.length ?? 0
  })
}

t.test('is replaced without a failed call', async t => {
  await give()
  const certificate = 'webhook.certificate'
  const values = {
    'image.repository': repository,
    'image.tag': tag,
    [`${certificate}.source`]: 'secret',
    [`${certificate}.secretName`]: SECRET,
    // A call that fails is then a pod that is not created.
    'webhook.failurePolicy': 'Fail',
  }
  const flags = Object.entries(values).map(([name, value]) => `--set=${name}=${value}`)
  const trust = `--set-file=${certificate}.caBundle=${authority.cert}`
  const about = ['--namespace', SYSTEM, '--wait', '--timeout=120s']
  await helmOn(kubeconfig, 'install', 'stoker', 'k8s/chart', ...about, ...flags, trust)
  await settled(admin, true)
  t.same(await shown(), [1, 1], 'both replicas')

  let [isOver, created, missed] = [false, 0, 0]
  const creating = async () => {
    for (; !isOver; created += 1) {
      const { status, body } = await dryRun(admin, plain(`p-${created}`))
      if (status !== 201 || !isInjected(body)) missed += 1
      await sleep(50)
    }
  }
  const all = creating()
  await give()
  const startedMs = Date.now()
  const isShown = async () => (await shown()).every(count => count === 2)
  t.ok(await until(isShown, MOUNTED_MS, 500), 'both show the new pair')
  t.comment(`${Math.round((Date.now() - startedMs) / 1000)} s after the Secret was replaced`)
  await sleep(1_000)
  isOver = true
  await all
  t.equal(missed, 0, `${created} pods were created, each with the agent`)
})
