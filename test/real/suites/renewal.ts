/** On a real API server: thousands of pods are created while the webhook's authorities and leaves are renewed every few seconds. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { wallClock } from '../../../src/clock.ts'
import { connect } from '../../../src/inject/cluster.ts'
import { runWebhook } from '../../../src/inject/webhook.ts'
import { options } from '../../inject/golden.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import {
  callingLoopback,
  dryRun,
  install,
  isInjected,
  plain,
  settled,
  SYSTEM,
  type WebhookConfiguration,
} from '../injection.ts'
import { freePorts } from '../ports.ts'
import { kubeConfig } from '../webhook.ts'

const LEAST_PODS = 1_000
/** Enough for four authorities. */
const LEAST_MS = 40_000
const lives = { authorityMs: 15_000, leafMs: 4_000, settleMs: 3_000 }

t.setTimeout(180_000)

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
const { configuration, token } = await install(server)
const folder = mkdtempSync(join(tmpdir(), 'stoker-renewal-'))
t.teardown(() => rmSync(folder, { recursive: true }))
process.env['KUBECONFIG'] = join(folder, 'kubeconfig')
writeFileSync(process.env['KUBECONFIG'], kubeConfig(server, token), { mode: 0o600 })
const [port = 0, healthPort = 0] = await freePorts(2)
// With Fail, a call that fails is a pod that is not created.
await admin.apply(callingLoopback(configuration, port, 'Fail'))

/** Runs the webhook until the signal; resolves with how many leaves it has shown. */
async function showLeaves(signal: AbortSignal, warn: (fields: object, text: string) => void) {
  let leaves = 0
  const info = (_fields: object, text: string) => {
    if (text.includes('certificate is shown')) leaves += 1
  }
  const certificates = {
    kind: 'own' as const,
    passMs: 250,
    names: { namespace: SYSTEM, secret: 'stoker-ca', configuration: configuration.metadata.name },
    hosts: ['127.0.0.1'],
    lives,
  }
  const where = { host: '127.0.0.1', port, healthPort, strict: false }
  const world = { cluster: connect(), clock: wallClock, log: { info, warn } }
  await runWebhook({ options, certificates, ...where, ...world }, signal)
  return leaves
}

t.test(
  'none is created without the agent, and each new connection trusts what it is shown',
  async t => {
    const stop = new AbortController()
    const running = showLeaves(stop.signal, (fields, text) => t.fail(text, fields))
    await settled(admin, true)
    const started = performance.now()
    let [created, missed] = [0, 0]
    const isOver = () => created >= LEAST_PODS && performance.now() - started >= LEAST_MS
    const creating = async (name: string) => {
      for (let n = 0; !isOver(); n += 1) {
        created += 1
        const { status, body } = await dryRun(admin, plain(`${name}-${n}`))
        if (status !== 201 || !isInjected(body)) missed += 1
      }
    }
    const [bundles, refusals] = [new Set<string>(), new Set<string>()]
    /** As the API server does for a connection: it trusts what the configuration says at that time. */
    const connecting = async () => {
      while (!isOver()) {
        const seen = await admin.ok('GET', await admin.pathOf(configuration))
        const [first] = (seen as unknown as WebhookConfiguration).webhooks
        const ca = Buffer.from(first?.clientConfig.caBundle ?? '', 'base64').toString()
        bundles.add(ca)
        const socket = connectTls({ host: '127.0.0.1', port, ca })
        const refusal = await once(socket, 'secureConnect').then(() => '', String)
        if (refusal !== '') refusals.add(refusal)
        socket.destroy()
      }
    }
    await Promise.all([...['a', 'b', 'c', 'd'].map(creating), connecting()])
    t.equal(missed, 0, `${created} pods were created`)
    t.same([...refusals], [])
    t.ok(bundles.size >= 6, `${bundles.size} bundles: the old, both, the new`)
    stop.abort()
    const leaves = await running
    t.ok(leaves >= 10, `${leaves} leaves`)
  },
)
