/** Runs the real `stoker webhook` as the chart would, as a process on loopback that a test API server calls. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Cluster } from './cluster/cluster.ts'
import { freePorts } from './ports.ts'
import { until } from './until.ts'

const START_MS = 60_000
const STOP_MS = 15_000

export interface Webhook {
  /** `/readyz` or `/metrics`. */
  get(path: string): Promise<string>
  log(): string
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** What kubectl, and Kubernetes' client, read to call this cluster by this token. */
export function kubeConfig(
  { url, caFile }: Pick<Cluster, 'url' | 'caFile'>,
  token: string,
): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': caFile } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  })
}

/** `args` as the chart's Deployment has them; ports are replaced by free ones, `port` by the one that is called. */
export async function startWebhook(
  cluster: Cluster,
  token: string,
  args: readonly string[],
  port: number,
): Promise<Webhook> {
  const folder = mkdtempSync(join(tmpdir(), 'stoker-webhook-'))
  const config = join(folder, 'kubeconfig')
  writeFileSync(config, kubeConfig(cluster, token), { mode: 0o600 })
  const [health = 0] = await freePorts(1)
  const kept = args.filter(arg => !/^--(health-)?port=/.test(arg))
  const own = [
    '--host=127.0.0.1',
    `--port=${port}`,
    `--health-port=${health}`,
    '--dns-name=127.0.0.1',
  ]
  const main = join(import.meta.dirname, '../../src/main.ts')
  const child = spawn(process.execPath, [main, ...kept, ...own], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], KUBECONFIG: config },
  })
  const exited = once(child, 'exit')
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (text += bytes.toString()))
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${health}${path}`)).text()
  const isReady = () =>
    get('/readyz').then(
      body => body.includes('ok'),
      () => false,
    )
  if (!(await until(isReady, START_MS))) {
    kill()
    throw new Error(`The webhook is not ready after ${START_MS} ms:\n${text}`)
  }
  return {
    get,
    log: () => text,
    async stop() {
      const timer = setTimeout(kill, STOP_MS)
      child.kill('SIGTERM')
      const [code] = (await exited) as [number | null]
      clearTimeout(timer)
      process.off('exit', kill)
      rmSync(folder, { recursive: true })
      return code
    },
  }
}
