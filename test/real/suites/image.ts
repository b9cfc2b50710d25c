/**
 * The image that the Dockerfile builds, on a real node: every command as an ordinary user without capabilities on a read-only root; the
 * agent as native sidecar scales TorchServe's workers; and TorchServe's model code does not get at the agent's secrets.
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import {
  agentContainer,
  asSidecar,
  importAgent,
  tokenMount,
  tokenVolume,
} from '../cluster/agent-pod.ts'
import { buildEmpty } from '../cluster/images.ts'
import { startNode } from '../cluster/node.ts'
import { podOn, removePod, runPod, startPod, statusOf } from '../cluster/pods.ts'
import { EMPTY_IMAGE, torchServeContainer, USER } from '../cluster/torchserve-pod.ts'
import type { Told } from '../agent.ts'
import { compressedBytes, filesIn, unpack } from '../image-contents.ts'
import { judge, startTraffic } from '../traffic.ts'
import { until } from '../until.ts'

t.setTimeout(240_000)

const MIB = 2 ** 20
const GUARDED = 'guarded'
const SERVING = 'serving'
const dockerfile = join(import.meta.dirname, '../../../Dockerfile')
/** A package's own manifest, and not one of those that some have deeper in. */
const isPackage = /\/node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/

interface Listed {
  name: string
  versionInfo: string
}

const node = await startNode()
t.teardown(() => node.stop())
const { admin } = node
const archive = await importAgent(node)
await node.importImages(await buildEmpty(node.builder, join(node.folder, 'empty'), EMPTY_IMAGE))
await node.addNamespace(SERVING)
await node.addNamespace(GUARDED)
await admin.apply({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: GUARDED, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
})

const { root, labels } = await unpack(archive, t.testdir())
const files = await filesIn(root)

/** The first that a path begins with; what is left are the libraries that node is linked to, and Debian's word on them. */
const parts: readonly [name: string, beginning: string][] = [
  ['Node.js', '/usr/local/bin/node'],
  ['Stoker', '/app/src/'],
  ['its bill of materials', '/app/sbom.spdx.json'],
  ['`@kubernetes/client-node`', '/app/node_modules/@kubernetes/client-node/'],
  ['other packages', '/app/'],
  ['glibc and libstdc++', '/'],
]

t.test('is small, and made of what docs/image.md says', async t => {
  const megabytes = statSync(archive).size / 1e6
  t.comment(`${megabytes.toFixed(1)} MB to pull`)
  t.ok(megabytes < 70)
  const page = readFileSync(join(import.meta.dirname, '../../../docs/image.md'), 'utf8')
  for (const [name, beginning] of parts) {
    const own = files.filter(
      ({ path }) => parts.find(([, each]) => path.startsWith(each))?.[1] === beginning,
    )
    const bytes = own.reduce((sum, file) => sum + file.bytes, 0)
    const packed = await compressedBytes(
      root,
      own.map(({ path }) => path),
    )
    const measured = [bytes, packed].map(each => each / 1e6)
    t.comment(`| ${name} | ${measured.map(each => each.toFixed(1)).join(' | ')} |`)
    const row = page.split('\n').find(line => line.startsWith(`| ${name} `))
    const written = row?.split('|').slice(2, 4).map(Number) ?? []
    const isSo = measured.every(
      (each, at) => Math.abs(each - (written[at] ?? NaN)) <= 0.1 * each + 0.1,
    )
    t.ok(isSo, `${name}: docs/image.md has ${written.join(', ')}`)
  }
})

t.test('says what it is made of', async t => {
  const sbom = JSON.parse(readFileSync(join(root, 'app/sbom.spdx.json'), 'utf8'))
  t.match(sbom, { spdxVersion: /^SPDX-2\.3/, name: /^stoker@/ })
  const listed = new Set(
    sbom.packages.map(({ name, versionInfo }: Listed) => `${name}@${versionInfo}`),
  )
  const manifests = files.filter(({ path }) => isPackage.test(path))
  const installed = manifests.map(({ path }) => {
    const { name, version } = JSON.parse(readFileSync(join(root, path), 'utf8'))
    return `${name}@${version}`
  })
  t.ok(installed.length > 50)
  t.same(
    installed.filter(each => !listed.has(each)),
    [],
    'each package that is in it',
  )
  t.same(
    [...listed].filter(
      each => !installed.includes(String(each)) && !String(each).startsWith('stoker@'),
    ),
    [],
    'and no other',
  )
  const debian = ['libc6', 'libgcc-s1', 'libstdc++6']
  for (const name of debian)
    t.match(
      readFileSync(join(root, 'var/lib/dpkg/status.d', name), 'utf8'),
      /^Package: .*\n[\s\S]*^Version: /m,
    )
  const [, base] = /^ARG BASE=(.*)$/m.exec(readFileSync(dockerfile, 'utf8')) ?? []
  t.equal(labels['org.opencontainers.image.base.name'], base)
})

t.test('commands that end', async t => {
  for (const [command, says] of [
    ['version', /^\d+\.\d+\.\d+\n$/],
    ['help', /^Usage: stoker <command>/],
  ] as const) {
    const containers = [{ ...agentContainer('stoker'), args: [command] }]
    const spec = { restartPolicy: 'Never', containers }
    const pod = await runPod(node, podOn(GUARDED, command, spec))
    t.equal(statusOf(pod).phase, 'Succeeded', command)
    t.match(node.log({ namespace: GUARDED, pod: command, container: 'stoker' }), says)
  }
})

t.test('commands that stay', async t => {
  for (const args of [['demo'], []]) {
    const name = args[0] ?? 'default'
    const volumeMounts = [{ name: 'tmp', mountPath: '/tmp' }]
    const volumes = [{ name: 'tmp', emptyDir: {} }]
    // The demo keeps its emulated cluster's files there.
    const beside = args.length > 0 ? { volumeMounts } : {}
    const spec = { containers: [{ ...agentContainer('stoker'), args, ...beside }], volumes }
    const pod = await startPod(node, podOn(GUARDED, name, spec))
    const url = await node.reach(statusOf(pod).podIP ?? '', 9790)
    const healthy = async () =>
      (await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(2_000) })).ok
    t.ok(await until(() => healthy().catch(() => false), 20_000), `${name} serves its page`)
    const stopMs = performance.now()
    await removePod(node, GUARDED, name)
    t.ok(performance.now() - stopMs < 5_000, 'and ends when it is told to, not when it is killed')
  }
})

/** A TorchServe pod: one PID namespace and one user for all, and a token only in the sidecars. */
async function serve(name: string, sidecars: object[], volumes: object[] = []) {
  const folder = join(node.folder, name)
  mkdirSync(folder)
  const model = await torchServeContainer(folder, [{ name: 'm', behaviour: { serviceMs: 100 } }])
  const pod = podOn(SERVING, name, {
    shareProcessNamespace: true,
    securityContext: { runAsUser: USER },
    initContainers: sidecars.map(asSidecar),
    containers: [model.container],
    volumes: [...model.volumes, tokenVolume, ...volumes],
  })
  return { model, podIp: statusOf(await startPod(node, pod)).podIP ?? '' }
}

interface Loot {
  command: string
  status: Record<string, string>
  got: Record<string, string>
  refused: Record<string, string>
}

/** What model code gets from the processes whose command line has the word, waiting so many seconds for the first of them. */
async function rob(pod: string, word: string, seconds = '0'): Promise<Loot[]> {
  const thief = join(import.meta.dirname, '..', 'cluster', 'thief.py')
  const place = { namespace: SERVING, pod, container: 'torchserve' }
  const { stdout, stderr } = await node.exec(place, ['python', thief, word, seconds])
  if (stderr) throw new Error(stderr)
  const lines = stdout.trim().split('\n')
  return lines.map(line => JSON.parse(line) as Loot)
}

t.test('the agent in TorchServe’s pod scales and retires its workers', async t => {
  const settings = { STOKER_HOLD_MS: '5000' }
  const agent = { ...agentContainer('agent', settings), volumeMounts: [tokenMount] }
  const { model, podIp } = await serve('scaled', [agent])
  t.teardown(() => removePod(node, SERVING, 'scaled'))
  const page = await node.reach(podIp, 9790)
  const decisions = async () => {
    const reply = await fetch(new URL('/decisions', page), { signal: AbortSignal.timeout(5_000) })
    return ((await reply.json()) as { decisions: Told[] }).decisions
  }
  const inference = await node.reach(podIp, 8080)
  const url = `${inference.origin}/predictions/m`
  const served = async () => (await fetch(url, { method: 'POST', body: 'first' })).ok
  t.ok(await until(() => served().catch(() => false), 60_000, 200), 'TorchServe serves')

  const traffic = startTraffic({ url, rps: 20, seed: 1, timeoutMs: 30_000 })
  const workers = async () => (await decisions())[0]?.inputs.ready
  t.ok(await until(async () => ((await workers()) ?? 0) >= 3, 40_000, 500), 'up with the load')
  const guard = rob('scaled', 'guard.ts', '50')
  traffic.setRate(3)
  t.ok(await until(async () => ((await workers()) ?? 9) <= 2, 60_000, 500), 'down without it')
  const outcomes = (await decisions()).flatMap(each => each.outcomes)
  const removed = outcomes.filter(outcome => outcome.kind === 'removed')
  t.ok(removed.length >= 1)
  t.same(
    removed.map(({ sureness }) => sureness).filter(sureness => sureness !== 'retired'),
    [],
    'each retired: the agent sees the processes of TorchServe’s container and may stop them',
  )
  const [guarding] = await guard
  t.match(guarding?.refused, { token: 'Permission denied', environment: 'Permission denied' })
  t.same(guarding?.got, {}, 'the guard of a stopped worker, the agent’s child, gives nothing away')
  const verdict = judge(await traffic.stop(), model.log('m').executions)
  t.same([verdict.lost, verdict.hung, verdict.repeated], [[], [], []], 'no request was lost')
  const usage = await node.memory({ namespace: SERVING, pod: 'scaled', container: 'agent' })
  t.comment(`the agent's container uses ${Math.round(usage.usage / MIB)} MiB`)
})

t.test('the agent’s secrets are kept from model code', async t => {
  const advise = (name: string, port: number) => ({
    ...agentContainer(name, { STOKER_MODE: 'advise', STOKER_LISTEN_PORT: String(port) }),
    volumeMounts: [tokenMount],
  })
  const main = '/app/src/main.ts'
  const readable = { name: 'readable-node', mountPath: '/readable', readOnly: true }
  const agent = advise('agent', 9790)
  const program = { name: 'readable-node', hostPath: { path: dirname(process.execPath) } }
  await serve(
    'robbed',
    [
      agent,
      {
        ...advise('readable', 9791),
        command: ['/readable/node', main, 'agent'],
        volumeMounts: [tokenMount, readable],
      },
      {
        ...advise('capable', 9792),
        command: ['/usr/local/bin/node', '--no-deprecation', main, 'agent'],
        securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false },
      },
    ],
    [program],
  )
  t.teardown(() => removePod(node, SERVING, 'robbed'))
  const loot = await rob('robbed', main)
  const of = (start: string) => loot.find(({ command }) => command.startsWith(start))

  const kept = of(`/usr/local/bin/node ${main}`)
  t.same(kept?.got, {}, 'of the agent as it is shipped, nothing is got')
  t.comment(JSON.stringify(kept?.refused))
  t.match(kept?.status, { Uid: new RegExp(`^${USER}\t`), CapPrm: /^0+$/, NoNewPrivs: '1' })
  const secrets = ['token', 'environment', 'memory', 'open files', 'working folder']
  for (const [title, start] of [
    ['with an executable that can be read', '/readable/node'],
    ['without dropping the capabilities', '/usr/local/bin/node --no-deprecation'],
  ] as const) {
    const robbed = of(start)
    for (const secret of secrets) t.ok(robbed?.got[secret], `${title}: the ${secret}`)
    t.match(robbed?.got['token'], /^b'eyJ/, 'it is a token')
  }
})
