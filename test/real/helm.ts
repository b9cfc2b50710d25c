/** Helm, built from its Go module once and kept in a cache folder outside the source tree; about a minute. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import type { Manifest } from './cluster/client.ts'
import { MissingTool } from './missing.ts'

const run = promisify(execFile)

const VERSION = 'v3.18.4'
const BUILD_TIMEOUT_MS = 10 * 60_000
const CALL_TIMEOUT_MS = 30_000
const INSTALL_TIMEOUT_MS = 120_000
const MOST_OUTPUT = 2 ** 24
/** A helm that was built without its release's flags takes the cluster for 1.20 where it sees none. */
const KUBE_VERSION = '1.36.0'

const repository = join(import.meta.dirname, '../..')
const chart = join(repository, 'k8s/chart')

async function helm(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'stoker')
  const path = join(cache, `helm-${VERSION}`, 'helm')
  if (existsSync(path)) return path
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOBIN: join(path, '..') }
  const options = { env, timeout: BUILD_TIMEOUT_MS, killSignal: 'SIGKILL' } as const
  try {
    await run('go', ['install', `helm.sh/helm/v3/cmd/helm@${VERSION}`], options)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new MissingTool(
        'go is needed to build helm: install it from https://go.dev/dl and put it on PATH',
      )
    throw error
  }
  return path
}

/** Runs one of helm's commands on a cluster to its end, in the repository's root; what it prints. Rejects with what it says. */
export async function helmOn(kubeconfig: string, ...words: string[]): Promise<string> {
  const env = { ...process.env, KUBECONFIG: kubeconfig }
  const where = { env, cwd: repository, timeout: INSTALL_TIMEOUT_MS }
  const { stdout } = await run(await helm(), words, where)
  return stdout
}

/** What `helm template` makes of the chart, without what only `helm test` creates. Rejects with what helm says. */
export async function render(namespace: string, ...flags: string[]): Promise<Manifest[]> {
  return (await template(namespace, flags)).filter(each => !isTest(each))
}

/** What `helm test` creates. */
export async function renderTest(namespace: string, ...flags: string[]): Promise<Manifest[]> {
  return (await template(namespace, flags)).filter(isTest)
}

const isTest = ({ metadata }: Manifest) => metadata.annotations?.['helm.sh/hook'] === 'test'

async function template(namespace: string, flags: string[]): Promise<Manifest[]> {
  const about = ['--namespace', namespace, '--kube-version', KUBE_VERSION]
  const options = { timeout: CALL_TIMEOUT_MS, maxBuffer: MOST_OUTPUT }
  const { stdout } = await run(
    await helm(),
    ['template', 'stoker', chart, ...about, ...flags],
    options,
  )
  const documents = parseAllDocuments(stdout).map(document => document.toJS() as Manifest | null)
  return documents.filter(document => document !== null)
}

export const valuesFile = (name: string) => join(chart, name)
