/**
 * The chart with cert-manager itself, on a real API server: it signs the webhook's certificate, has the API server trust it, and renews
 * it, without a failed call. By its name only: compiling cert-manager takes minutes the first time.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { issuerProgram } from '../issuer/build.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import type { Body, Manifest } from '../cluster/client.ts'
import { allOf, certManager, defineResources } from '../cluster/definitions.ts'
import { logTail, startGuarded } from '../guard.ts'
import { render } from '../helm.ts'
import * as injection from '../injection.ts'
import { isInjected, plain, SYSTEM, type WebhookConfiguration } from '../injection.ts'
import { mountSecret } from '../mounted-secret.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { kubeConfig, startWebhook } from '../webhook.ts'

t.setTimeout(300_000)

const SIGNED_MS = 60_000
const SECRET = 'stoker-tls'

const program = await issuerProgram()
const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
await defineResources(admin, await allOf(certManager))
const folder = join(server.folder, 'cert-manager')
mkdirSync(folder)
const config = join(folder, 'kubeconfig')
writeFileSync(config, kubeConfig(server, server.tokens.admin), { mode: 0o600 })
const guard = startGuarded([program, config], { folder })
t.teardown(() => guard.release())

const ofCertManager = (kind: string, name: string, spec: object): Manifest => ({
  apiVersion: 'cert-manager.io/v1',
  kind,
  metadata: { name, namespace: SYSTEM },
  spec,
})

/** As cert-manager's manual has it: an authority that signs itself, and an Issuer that signs with it. */
const issuers = [
  ofCertManager('Issuer', 'itself', { selfSigned: {} }),
  ofCertManager('Certificate', 'authority', {
    isCA: true,
    commonName: 'authority',
    secretName: 'authority',
    issuerRef: { kind: 'Issuer', name: 'itself' },
  }),
  ofCertManager('Issuer', 'ca', { ca: { secretName: 'authority' } }),
]
const values = ['source=cert-manager', `secretName=${SECRET}`, 'issuer.name=ca'].map(
  value => `--set=webhook.certificate.${value}`,
)

const secret = async () => {
  const { body } = await admin.call('GET', `/api/v1/namespaces/${SYSTEM}/secrets/${SECRET}`)
  return Object(body['data'])['tls.crt'] as string | undefined
}
const bundles = async (configuration: Manifest) => {
  const body = await admin.ok('GET', await admin.pathOf(configuration))
  return (body as WebhookConfiguration).webhooks.map(each => each.clientConfig.caBundle ?? '')
}

t.test('it is the webhook’s authority', async t => {
  const { args, configuration, token } = await injection.install(server, ...values)
  await admin.apply(...issuers)
  const rendered = await render(SYSTEM, ...injection.flags, ...values)
  const certificate = rendered.find(({ kind }) => kind === 'Certificate')
  if (!certificate) throw new Error('The chart asks for no certificate')
  const [port = 0] = await freePorts(1)
  // Here the API server calls an address, and not the Service.
  const spec = { ...Object(certificate['spec']), ipAddresses: ['127.0.0.1'] }
  await admin.apply({ ...certificate, spec })
  const calling = injection.callingLoopback(configuration, port, 'Fail')
  await admin.apply(calling)
  const isSigned = async () => (await secret()) !== undefined
  if (!(await until(isSigned, SIGNED_MS, 100))) throw new Error(`no Secret: ${logTail(folder)}`)
  const isTrusted = async () => (await bundles(configuration)).every(bundle => bundle !== '')
  if (!(await until(isTrusted, SIGNED_MS, 100))) throw new Error(`no bundle: ${logTail(folder)}`)

  const mounted = mkdtempSync(join(folder, 'mounted-'))
  const mount = () => mountSecret(admin, { namespace: SYSTEM, name: SECRET }, mounted)
  await mount()
  const files = readdirSync(mounted).filter(file => !file.startsWith('..'))
  t.same(files, ['ca.crt', 'tls.crt', 'tls.key'])
  const own = args.map(arg => arg.replace('--tls-folder=/tls', `--tls-folder=${mounted}`))
  const webhook = await startWebhook(server, token, own, port)
  t.teardown(() => webhook.stop())
  await injection.settled(admin, true)

  const before = await bundles(configuration)
  await admin.apply(calling)
  t.same(await bundles(configuration), before, 'an upgrade of the chart leaves what is trusted')

  let [isOver, created, missed] = [false, 0, 0]
  const creating = async () => {
    for (; !isOver; created += 1) {
      const { status, body } = await injection.dryRun(admin, plain(`p-${created}`))
      if (status !== 201 || !isInjected(body)) missed += 1
      await sleep(5)
    }
  }
  const all = creating()
  const first = await secret()
  await renew(certificate)
  const isRenewed = async () => (await secret()) !== first
  if (!(await until(isRenewed, SIGNED_MS, 100))) throw new Error(`no renewal: ${logTail(folder)}`)
  await mount()
  t.equal(readFileSync(join(mounted, 'tls.crt'), 'base64'), await secret())
  const shown = () => webhook.log().match(/certificate is shown/g)?.length === 2
  t.ok(await until(shown, 20_000, 100), 'what it renewed is shown')
  isOver = true
  await all
  t.equal(missed, 0, `${created} pods were created, each with the agent`)
})

/** What `cmctl renew` does. */
async function renew(certificate: Manifest): Promise<void> {
  const path = `${await admin.pathOf(certificate)}/status`
  const condition = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'by the test',
    lastTransitionTime: new Date().toISOString(),
  }
  const { status } = (await admin.ok('GET', await admin.pathOf(certificate))) as {
    status?: { conditions?: Body[] }
  }
  const conditions = [...(status?.conditions ?? []), condition]
  const body = { status: { ...status, conditions } }
  await admin.ok('PATCH', path, body, 'application/merge-patch+json')
}
