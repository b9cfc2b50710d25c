/**
 * On a real API server: the chart with certificates of others. A given Secret is shown to the API server, and so is what replaces it, by
 * the same authority and by a new one, without a failed call; cert-manager's definitions take what the chart asks of it.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAuthority, sign, type Files } from '../certificates.ts'
import { startApiServer } from '../cluster/apiserver.ts'
import type { Manifest } from '../cluster/client.ts'
import { certManager, defineResources } from '../cluster/definitions.ts'
import { render } from '../helm.ts'
import * as injection from '../injection.ts'
import { isInjected, plain, SYSTEM, type WebhookConfiguration } from '../injection.ts'
import { mountSecret } from '../mounted-secret.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'
import { startWebhook } from '../webhook.ts'

t.setTimeout(120_000)

/** The webhook looks at its files every ten seconds. */
const SHOWN_MS = 20_000
const SECRET = 'given'

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
const folder = join(server.folder, 'given')
await mkdir(folder)
const [old, young] = [
  await createAuthority(join(folder, 'old')),
  await createAuthority(join(folder, 'young')),
]
const read = (file: string) => readFileSync(file, 'utf8')
const bundleOf = (...authorities: Files[]) => authorities.map(({ cert }) => read(cert)).join('')

/** As a user gives it: helm's values, and a Secret made by openssl. */
function givenBy(...authorities: Files[]): string[] {
  const file = join(folder, 'bundle.pem')
  writeFileSync(file, bundleOf(...authorities))
  return [
    `--set=webhook.certificate.source=secret,webhook.certificate.secretName=${SECRET}`,
    `--set-file=webhook.certificate.caBundle=${file}`,
  ]
}

let pairs = 0
/** Signs a pair for the webhook, and puts it into the Secret. */
async function give(authority: Files): Promise<void> {
  const { cert, key } = await sign(authority, join(folder, String(++pairs)), 'stoker', [
    '127.0.0.1',
  ])
  const secret: Manifest = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: SECRET, namespace: SYSTEM },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': read(cert), 'tls.key': read(key) },
  }
  await admin.apply(secret)
}

const mounted = mkdtempSync(join(folder, 'mounted-'))
const mount = () => mountSecret(admin, { namespace: SYSTEM, name: SECRET }, mounted)

t.test('a given Secret', async t => {
  const { args, configuration, token } = await injection.install(server, ...givenBy(old))
  await give(old)
  await mount()
  const [port = 0] = await freePorts(1)
  // With Fail, a call that fails is a pod that is not created.
  const trust = (chart: Manifest) => admin.apply(injection.callingLoopback(chart, port, 'Fail'))
  await trust(configuration)
  t.ok(args.includes('--tls-folder=/tls'))
  const own = args.map(arg => arg.replace('--tls-folder=/tls', `--tls-folder=${mounted}`))
  const webhook = await startWebhook(server, token, own, port)
  t.teardown(() => webhook.stop())
  await injection.settled(admin, true)

  let [isOver, created, missed] = [false, 0, 0]
  const creating = async () => {
    for (; !isOver; created += 1) {
      const { status, body } = await injection.dryRun(admin, plain(`p-${created}`))
      if (status !== 201 || !isInjected(body)) missed += 1
      await sleep(5)
    }
  }
  const all = Promise.all([creating(), creating()])
  /** What a new connection is shown, where it trusts these. */
  const serial = async (...authorities: Files[]) => {
    const socket = connect({ host: '127.0.0.1', port, ca: bundleOf(...authorities) })
    const refusal = await once(socket, 'secureConnect').then(() => undefined, String)
    const shown = refusal ?? socket.getPeerCertificate().serialNumber
    socket.destroy()
    return shown
  }
  const first = await serial(old)
  await t.test('is replaced by one of a new authority, which is trusted before', async t => {
    const both = await render(SYSTEM, ...injection.flags, ...givenBy(old, young))
    await trust(configurationIn(both))
    await give(young)
    await mount()
    const isShown = async () => !/Error/.test(await serial(young))
    t.ok(await until(isShown, SHOWN_MS, 100), 'it is shown')
    t.not(await serial(young), first)
    const before = created
    await trust(configurationIn(await render(SYSTEM, ...injection.flags, ...givenBy(young))))
    t.match(await serial(old), /Error/, 'the old one is not to be trusted any more')
    // Time for the API server to learn of it, and to call by a new connection.
    t.ok(await until(() => created >= before + 100, SHOWN_MS))
  })
  isOver = true
  await all
  t.equal(missed, 0, `${created} pods were created, each with the agent`)
  t.match(await webhook.get('/metrics'), /stoker_certificate_failures_total 0\n/)

  const caller = server.as(token)
  const path = await admin.pathOf(configuration)
  t.equal((await caller.call('GET', path)).status, 403, 'it may not even look at what is trusted')
  const { webhooks } = (await admin.ok('GET', path)) as unknown as WebhookConfiguration
  const trusted = webhooks.map(({ clientConfig }) => clientConfig.caBundle)
  const given = Buffer.from(bundleOf(young)).toString('base64')
  t.same(trusted, [given, given], 'which stays as it was given')
})

function configurationIn(rendered: readonly Manifest[]): Manifest {
  const found = rendered.find(({ kind }) => kind === 'MutatingWebhookConfiguration')
  if (!found) throw new Error('The chart has no configuration')
  return found
}

interface Spoken {
  spec: {
    secretName: string
    dnsNames: string[]
    template: {
      spec: {
        containers: { args: string[]; volumeMounts: object[] }[]
        volumes: { secret: { secretName: string } }[]
      }
    }
  }
}

t.test('cert-manager', async t => {
  await defineResources(admin, certManager)
  await admin.ok('DELETE', await admin.pathOf(configurationIn(await render(SYSTEM))))
  const asked = 'source=cert-manager,secretName=stoker-tls,issuer.name=ca,issuer.kind=ClusterIssuer'
  const values = asked.split(',').map(value => `--set=webhook.certificate.${value}`)
  const rendered = await render(SYSTEM, ...injection.flags, ...values)
  const query = 'dryRun=All&fieldManager=helm&force=true&fieldValidation=Strict'
  const accept = async (each: Manifest) =>
    admin.call(
      'PATCH',
      `${await admin.pathOf(each)}?${query}`,
      each,
      'application/apply-patch+yaml',
    )
  for (const each of rendered) {
    const { status, body } = await accept(each)
    t.ok(status < 300, `${each.kind}/${each.metadata.name} ${body.message ?? ''}`)
  }
  const one = (kind: string) => {
    const [found, ...others] = rendered.filter(each => each.kind === kind)
    if (!found || others.length > 0) throw new Error(`not one ${kind}`)
    return found
  }
  const certificate = one('Certificate')
  const misspelt = { ...certificate, spec: { ...Object(certificate['spec']), issuerReference: {} } }
  t.not((await accept(misspelt)).status, 200, 'the definition is looked at')

  const { spec } = certificate as unknown as Spoken
  const service = one('Service').metadata
  t.same(spec.dnsNames, [`${service.name}.${SYSTEM}.svc`], 'it is for the name that is called')
  t.match(spec, { issuerRef: { kind: 'ClusterIssuer', name: 'ca' } })
  const configuration = one('MutatingWebhookConfiguration') as WebhookConfiguration
  t.same(
    configuration.metadata.annotations,
    { 'cert-manager.io/inject-ca-from': `${SYSTEM}/${certificate.metadata.name}` },
    'its authority is injected from that certificate',
  )
  t.same(
    configuration.webhooks.filter(({ clientConfig }) => 'caBundle' in clientConfig),
    [],
    'and is left to cert-manager',
  )
  const { containers, volumes } = (one('Deployment') as unknown as Spoken).spec.template.spec
  t.same(volumes, [{ name: 'tls', secret: { secretName: spec.secretName } }])
  t.match(containers, [{ volumeMounts: [{ name: 'tls', mountPath: '/tls' }] }])
  t.ok(containers[0]?.args.includes('--tls-folder=/tls'))
  t.same(
    rendered.filter(({ kind }) => /^(Secret|Role)$/.test(kind)),
    [],
    'no authority of our own, and no right to one',
  )
  const rights = rendered.flatMap(each => (each.kind === 'ClusterRole' ? each['rules'] : [])) as {
    resources: string[]
  }[]
  t.same(
    rights.flatMap(({ resources }) => resources),
    ['pods/resize', 'events'],
    'nor to what the API server trusts',
  )
})
