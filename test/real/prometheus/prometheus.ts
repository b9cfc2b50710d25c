/** A real Prometheus on loopback, with the project's rules and jobs, and promtool. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { logTail, startGuarded } from '../guard.ts'
import { MissingTool } from '../missing.ts'
import { freePorts } from '../ports.ts'
import { until } from '../until.ts'

const run = promisify(execFile)

const START_MS = 60_000
const CALL_MS = 5_000
const TOOL_MS = 30_000

export const files = join(import.meta.dirname, '../../../k8s/chart/files')

/** Runs promtool; its exit code, and all that it says. Throws MissingTool. */
export async function promtool(args: readonly string[], stdin = '') {
  const running = run('promtool', args, { timeout: TOOL_MS })
  running.child.stdin?.end(stdin)
  try {
    const { stdout, stderr } = await running
    return { code: 0, said: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
    if (code === 'ENOENT') throw missing('promtool')
    return { code, said: stdout + stderr }
  }
}

function missing(program: string) {
  return new MissingTool(
    `${program} is needed; on Debian: apt-get install --no-install-recommends prometheus`,
  )
}

/** A pod's agent, as discovery in a cluster would tell of it. */
export interface Target {
  /** host:port */
  address: string
  namespace: string
  pod: string
  /** Of the ReplicaSet. */
  controller: string
  /** `metrics` is TorchServe's own; the agent's when left out. */
  port?: 'metrics'
}

interface Job {
  job_name: string
  relabel_configs: unknown
}

/**
 * The configuration that k8s/prometheus/scrape.yaml is a part of. Debian's Prometheus is built without the discovery of
 * Kubernetes, so a file tells what that would; the jobs' relabelling is as it is.
 */
export function configuration(
  targetsFile: string,
  intervalMs: number,
  rules: readonly string[],
  others: Readonly<Record<string, string>> = {},
) {
  const { scrape_configs: jobs } = parse(readFileSync(join(files, 'scrape.yaml'), 'utf8')) as {
    scrape_configs: Job[]
  }
  const times = { scrape_interval: `${intervalMs}ms`, scrape_timeout: `${intervalMs * 0.8}ms` }
  const scraped = jobs.map(({ job_name, relabel_configs }) => ({
    job_name,
    relabel_configs,
    ...times,
    file_sd_configs: [{ files: [targetsFile], refresh_interval: '1s' }],
  }))
  const [first] = scraped
  // Somebody else's job scrapes the agents, too.
  const again = first && { ...first, job_name: 'again' }
  const named = Object.entries(others).map(([job_name, address]) => ({
    job_name,
    honor_labels: true,
    ...times,
    static_configs: [{ targets: [address] }],
  }))
  return stringify(
    { rule_files: rules, scrape_configs: [...scraped, again, ...named] },
    { aliasDuplicateObjects: false },
  )
}

export interface Prometheus {
  /** In its own network. */
  url: string
  /** The value of an expression that gives one series; undefined where it gives none. Rejects with what Prometheus says. */
  value(expression: string): Promise<number | undefined>
  /** What discovery finds from now on. */
  discover(targets: readonly Target[]): void
  /** Kills it and starts another, with an empty data folder, at the same address, after a while. */
  restart(downMs?: number): Promise<void>
  stop(): Promise<void>
}

/** What network a Prometheus has: by default the machine's. */
export interface Network {
  /** Makes of a command one that has it. */
  inNetwork(command: readonly string[]): readonly string[]
  /** A URL on the machine's loopback that leads to an address of it. */
  reach(address: string, port: number): Promise<URL>
}

const machine: Network = {
  inNetwork: command => command,
  reach: (address, port) => Promise.resolve(new URL(`http://${address}:${port}`)),
}

/**
 * Scrapes and evaluates every `intervalMs`. `others`: jobs of one target, by name, at host:port. Throws MissingTool, or Error with
 * the end of the log.
 */
export async function startPrometheus(
  targets: readonly Target[],
  intervalMs: number,
  others: Readonly<Record<string, string>> = {},
  { inNetwork, reach }: Network = machine,
): Promise<Prometheus> {
  if ((await run('prometheus', ['--version']).catch(() => undefined)) === undefined)
    throw missing('prometheus')
  const folder = mkdtempSync(join(tmpdir(), 'stoker-prometheus-'))
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const reached = await reach('127.0.0.1', port)
  const targetsFile = join(folder, 'targets.json')
  const discover = (found: readonly Target[]) =>
    writeFileSync(targetsFile, JSON.stringify(found.map(discovered)))
  discover(targets)
  const rules = readFileSync(join(files, 'rules.yaml'), 'utf8')
  writeFileSync(
    join(folder, 'rules.yaml'),
    rules.replace('interval: 5s', `interval: ${intervalMs}ms`),
  )
  writeFileSync(
    join(folder, 'prometheus.yaml'),
    configuration(targetsFile, intervalMs, [join(folder, 'rules.yaml')], others),
  )
  let starts = 0
  const start = async () => {
    const data = join(folder, `data-${++starts}`)
    const options = { 'config.file': 'prometheus.yaml', 'storage.tsdb.path': data }
    const flags = { ...options, 'web.listen-address': `127.0.0.1:${port}` }
    const guard = startGuarded(
      inNetwork([
        'prometheus',
        ...Object.entries(flags).map(([name, setting]) => `--${name}=${setting}`),
      ]),
      { folder },
    )
    const isReady = () =>
      fetch(new URL('/-/ready', reached)).then(
        ({ ok }) => ok,
        () => false,
      )
    if (await until(isReady, START_MS)) return guard
    const tail = logTail(folder)
    await guard.release()
    throw new Error(`Prometheus did not start. The end of its log:\n${tail}`)
  }
  let guard = await start()
  return {
    url,
    discover,
    value: expression => evaluate(reached, expression),
    async restart(downMs = 0) {
      await guard.release({ keepFolder: true })
      await sleep(downMs)
      guard = await start()
    },
    stop: () => guard.release(),
  }
}

function discovered({ address, namespace, pod, controller, port }: Target) {
  const prefix = '__meta_kubernetes'
  const labels = {
    [`${prefix}_namespace`]: namespace,
    [`${prefix}_pod_name`]: pod,
    [`${prefix}_pod_phase`]: 'Running',
    [`${prefix}_pod_controller_kind`]: 'ReplicaSet',
    [`${prefix}_pod_controller_name`]: controller,
    [`${prefix}_pod_annotationpresent_stoker_dev_injected`]: 'true',
    [`${prefix}_pod_container_init`]: String(port === undefined),
    [`${prefix}_pod_container_name`]: port === undefined ? 'stoker-agent' : 'torchserve',
    [`${prefix}_pod_container_port_name`]: port ?? 'stoker-metrics',
  }
  return { targets: [address], labels }
}

interface Answer {
  status: string
  error?: string
  data?: { result: { value: [atS: number, value: string] }[] }
}

async function evaluate(url: URL, expression: string): Promise<number | undefined> {
  const query = new URL('/api/v1/query', url)
  query.searchParams.set('query', expression)
  const reply = await fetch(query, { signal: AbortSignal.timeout(CALL_MS) })
  const { status, error, data } = (await reply.json()) as Answer
  const [only, ...more] = data?.result ?? []
  if (status !== 'success' || more.length > 0)
    throw new Error(`${expression}: ${error ?? `${more.length + 1} series`}`)
  return only && Number(only.value[1])
}
