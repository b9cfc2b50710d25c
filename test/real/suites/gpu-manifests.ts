/** On a real API server: every example in k8s/examples/gpu is accepted, and so are its pods, before and after the injection. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { startApiServer } from '../cluster/apiserver.ts'
import type { Body, Manifest } from '../cluster/client.ts'

t.setTimeout(120_000)

const NS = 'models'
const folder = join(import.meta.dirname, '../../../k8s/examples/gpu')
const main = join(import.meta.dirname, '../../../src/main.ts')
const examples = readdirSync(folder).filter(file => file.endsWith('.yaml'))

const server = await startApiServer()
t.teardown(() => server.stop())
const { admin } = server
await server.addNamespace(NS)

interface Template {
  metadata: Record<string, unknown>
  spec: { containers: { resources: Record<string, Record<string, unknown>> }[] } & Body
}

function read(text: string): Manifest[] {
  return parseAllDocuments(text).map(document => {
    const manifest = document.toJS() as Manifest
    return { ...manifest, metadata: { ...manifest.metadata, namespace: NS } }
  })
}

/** The Deployments' pods; no controller runs here that would make them. */
function podsOf(manifests: readonly Manifest[]): Manifest[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind !== 'Deployment') return []
    const { template } = spec as { template: Template }
    const named = { ...template.metadata, name: metadata.name, namespace: NS }
    return [{ apiVersion: 'v1', kind: 'Pod', metadata: named, spec: template.spec }]
  })
}

/** What the agent has of TorchServe's resources: its claims. */
function sharedOf({ containers }: Template['spec']) {
  const claims = containers[0]?.resources['claims']
  return claims ? { claims } : {}
}

async function accept(manifests: readonly Manifest[]): Promise<Body[]> {
  for (const manifest of manifests) {
    await admin.call('DELETE', `${await admin.pathOf(manifest)}?gracePeriodSeconds=0`)
  }
  return admin.apply(...manifests)
}

t.ok(examples.length >= 4)
for (const file of examples) {
  t.test(file, async t => {
    const text = readFileSync(join(folder, file), 'utf8')
    const [pod, ...more] = await accept([...podsOf(read(text)), ...read(text)])
    const spec = pod?.['spec'] as Template['spec']
    t.ok(more.length > 0)
    // What the server does not know it drops: what it gives back is what it took.
    const asked = podsOf(read(text))[0]?.['spec'] as Template['spec']
    t.match(spec.containers[0]?.resources, asked.containers[0]?.resources)
    t.same(spec['resourceClaims'], asked['resourceClaims'])
    const injected = spawnSync(process.execPath, [main, 'inject', join(folder, file)], {
      encoding: 'utf8',
    })
    t.equal(injected.status, 0, injected.stderr)
    const [after] = await accept([...podsOf(read(injected.stdout)), ...read(injected.stdout)])
    t.match(after, {
      spec: {
        containers: [{ name: 'torchserve', resources: spec.containers[0]?.resources }],
        // A claim is shared, a device plugin's GPU cannot be.
        initContainers: [{ name: 'stoker-agent', resources: sharedOf(spec) }],
      },
    })
  })
}

t.test('the claim is one that the server resolves to a class by its own rules', async t => {
  const { resources } = (await admin.ok('GET', '/apis/resource.k8s.io/v1')) as {
    resources?: { name: string }[]
  }
  t.ok(
    resources?.some(({ name }) => name === 'resourceclaimtemplates'),
    'on by default',
  )
  const [template] = read(readFileSync(join(folder, 'dra-claim.yaml'), 'utf8'))
  const wrong = JSON.parse(
    JSON.stringify(template).replace("profile == '1g.10gb'", 'profile =='),
  ) as Manifest
  t.match(
    await admin.call('POST', `/apis/resource.k8s.io/v1/namespaces/${NS}/resourceclaimtemplates`, {
      ...wrong,
      metadata: { ...wrong.metadata, name: 'wrong' },
    }),
    { status: 422, body: { message: /expression/ } },
    'the expression is compiled',
  )
})
