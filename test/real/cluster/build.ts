/**
 * Stock Kubernetes programs, built from the Go modules that go.mod names and go.sum holds to their checksums, and kept in a cache
 * folder outside the source tree, under a name made of both files. `node build.ts` builds those of most suites: about 8 CPU minutes,
 * 90 MB of downloads, 1.7 GiB of memory at the peak. KUBERNETES_VERSION=v1.35.4 has the API server be of that release.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MissingTool } from '../missing.ts'
import { writeModule } from './release.ts'

const run = promisify(execFile)

const KUBERNETES = 'k8s.io/kubernetes'
const packages = {
  'kube-apiserver': `${KUBERNETES}/cmd/kube-apiserver`,
  etcd: 'go.etcd.io/etcd/server/v3',
  kubelet: `${KUBERNETES}/cmd/kubelet`,
  'kube-controller-manager': `${KUBERNETES}/cmd/kube-controller-manager`,
  'kube-scheduler': `${KUBERNETES}/cmd/kube-scheduler`,
  'kube-proxy': `${KUBERNETES}/cmd/kube-proxy`,
} as const
/** What most suites need; the others are built when a suite asks. */
const usual = ['kube-apiserver', 'etcd', 'kubelet', 'pause'] as const
const HERE = import.meta.dirname
const GO_MINOR = 21
const BUILD_TIMEOUT_MS = 20 * 60_000

type Program = keyof typeof packages | 'pause'

/** The path of a program, built now if it is not in the cache. Throws MissingTool, or Error with the compiler's last words. */
export async function program(name: Program): Promise<string> {
  const release = process.env['KUBERNETES_VERSION']
  if (release !== undefined && name === 'kube-apiserver') {
    return cached(`kubernetes-${release}`, name, async output => {
      const folder = await writeModule(release, go)
      await buildGo(packages[name], release, output, { folder, mod: 'mod' })
      await rm(folder, { recursive: true })
    })
  }
  const manifest = readFileSync(join(HERE, 'go.mod'), 'utf8')
  const sums = readFileSync(join(HERE, 'go.sum'))
  const version = /k8s\.io\/kubernetes (v[\d.]+)/.exec(manifest)?.[1] ?? ''
  const hash = createHash('sha256').update(manifest).update(sums).digest('hex').slice(0, 12)
  return cached(`kubernetes-${version}-${hash}`, name, output =>
    name === 'pause' ? buildPause(output) : buildGo(packages[name], version, output),
  )
}

/** The path of a file or folder in a folder of the cache, built now if it is not there. Throws MissingTool, or what `build` throws. */
export async function cached(
  folder: string,
  name: string,
  build: (output: string) => Promise<void>,
): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'stoker')
  const path = join(cache, folder, name)
  if (existsSync(path)) return path
  await findGo()
  await mkdir(dirname(path), { recursive: true })
  // Under a name of its own until it is complete, so that a killed build leaves nothing that looks built.
  const unfinished = `${path}.${process.pid}`
  try {
    await build(unfinished)
    await rename(unfinished, path)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return path
}

async function buildGo(
  module: string,
  version: string,
  output: string,
  { folder, mod } = { folder: HERE, mod: 'readonly' },
) {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? []
  const says = { gitVersion: version, gitMajor: major, gitMinor: minor }
  const stamps = Object.entries(says).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  )
  const flags = [`-mod=${mod}`, '-trimpath', '-ldflags', ['-s', '-w', ...stamps].join(' ')]
  await go(folder, 'build', ...flags, '-o', output, module)
}

/** It is not Go: it comes as source with the module. */
async function buildPause(output: string) {
  const { Dir: folder } = JSON.parse(await go(HERE, 'mod', 'download', '-json', KUBERNETES)) as {
    Dir: string
  }
  const source = join(folder, 'build', 'pause', 'linux', 'pause.c')
  try {
    await run('gcc', ['-Os', '-static', '-o', output, source])
  } catch (cause) {
    const remedy = 'on Debian: apt-get install gcc libc6-dev'
    throw new MissingTool(`gcc cannot link a static program; ${remedy}`, { cause })
  }
}

/** Runs the Go command in a folder; what it prints. */
export async function go(cwd: string, ...words: string[]): Promise<string> {
  const { stdout } = await run('go', words, {
    cwd,
    // A go that is too old for go.mod takes the one it names from the module proxy.
    env: { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'auto' },
    timeout: BUILD_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  return stdout
}

async function findGo() {
  const found = await run('go', ['env', 'GOVERSION'], { timeout: 10_000 }).catch(() => undefined)
  const version = found?.stdout.trim() ?? 'none'
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1] ?? 0)
  if (minor < GO_MINOR)
    throw new MissingTool(
      `go 1.${GO_MINOR} or later is needed to build Kubernetes, found ${version}; Debian 12's is too old: install it from https://go.dev/dl and put it on PATH`,
    )
}

if (import.meta.main) for (const name of usual) console.log(await program(name))
