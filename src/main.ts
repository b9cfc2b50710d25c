#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { pino } from 'pino'
import { guardProcess } from './actuate/stopping.ts'
import { linuxCgroup } from './clients/cgroup.ts'
import { linuxEnvironment } from './clients/environment.ts'
import { linuxProcesses } from './clients/processes.ts'
import { wallClock as clock } from './clock.ts'
import { ConfigError, helpText, parseConfig } from './config.ts'
import { checkDocs, writeDocs } from './docs.ts'
import { StokerError } from './errors.ts'
import type { Line } from './export/report.ts'
import { optionFlags, readOptions } from './inject/options.ts'
import { readWebhookFlags, webhookFlags } from './inject/webhook-flags.ts'
import { start, type Host } from './start.ts'

const EXIT_USAGE = 64
const EXIT_FAILED = 1

const root = new URL('..', import.meta.url)
const usage = `Usage: stoker <command>

  agent    scale the workers of the TorchServe beside it; configured by the variables below
  demo     the agent with an emulated TorchServe and cluster under load, in the browser
             --torchserve URL   a real TorchServe’s management address instead; metrics one port above, inference one below
             --gpu a100|mig     the first model runs on an emulated GPU, or on a MIG slice of one
             --port N           port of the page (9790)
  inject   add the agent to the pods in manifests, YAML or JSON: stoker inject [FILE|-]…
             --image IMAGE      the agent’s image (stoker:${version()})
             --pull-policy P    Always, IfNotPresent or Never
             --set NAME=VALUE   what a pod’s annotation stoker.dev/NAME is when the pod has none; docs/injection.md lists them
           The manifests go to standard output, the report to standard error. On a fault nothing is written, and the exit code is 1.
  uninject take the agent out of them again: stoker uninject [FILE|-]…
  webhook  add the agent to pods as they are created; the chart in k8s/ runs it
             --image, --pull-policy, --set   as for inject
             --strict                        deny a pod that asks for the agent and cannot have it
             --host, --port, --health-port   reviews by TLS (0.0.0.0, 10250); /readyz, /metrics (9790)
             --namespace, --secret           where its certificate authority is kept,
             --configuration, --dns-name     which MutatingWebhookConfiguration trusts it, by which names it is called;
             --tls-folder FOLDER             or tls.crt and tls.key that somebody else renews
  docs     write docs/*.md from the code; --check only compares
  version
  help     this and the variables
`

/** A command line that cannot be understood; the message names what is wrong with it. */
class UsageError extends Error {}

function parse<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  return parsed({ args, options }).values
}

function parsed<T extends ParseArgsConfig>(config: T) {
  try {
    return parseArgs(config)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function demo(args: string[], signal: AbortSignal): Promise<void> {
  const { gpu, torchserve, port } = parse(args, {
    gpu: { type: 'string' },
    torchserve: { type: 'string' },
    port: { type: 'string' },
  })
  if (gpu !== undefined && gpu !== 'a100' && gpu !== 'mig') {
    throw new UsageError(`--gpu ${gpu} is neither a100 nor mig`)
  }
  if (gpu !== undefined && torchserve !== undefined) {
    throw new UsageError('--gpu is of the emulated TorchServe, and --torchserve names a real one')
  }
  if (torchserve !== undefined && !/^https?:/i.test(URL.parse(torchserve)?.protocol ?? '')) {
    throw new UsageError(
      `--torchserve ${torchserve} is not an http URL; TorchServe’s management address is usually http://127.0.0.1:8081`,
    )
  }
  // Loaded only here: the agent’s memory is the pod’s.
  const { startDemo } = await import('./simulate/demo.ts')
  const emulated = torchserve === undefined ? await startDemo({ clock, gpu }) : undefined
  try {
    const config = parseConfig({
      ...process.env,
      ...(emulated?.env ?? besides(torchserve)),
      ...(port ? { STOKER_LISTEN_PORT: port } : {}),
    })
    const shown = { version: version(), write: toTerminal }
    if (!emulated) return await start(config, { ...shown, host: linux() }, signal)
    const { listenHost, listenPort } = config
    const shownAt = (url: string) => emulated.show(url, { host: listenHost, port: listenPort })
    const behind = { ...config, listenHost: '127.0.0.1', listenPort: 0 }
    await start(behind, { ...shown, host: { ...emulated.host, shownAt } }, signal)
  } finally {
    await emulated?.close()
  }
}

/** TorchServe’s three addresses, by its habit of consecutive ports. */
function besides(management = ''): Record<string, string> {
  const at = (offset: number) => {
    const url = new URL(management)
    url.port = String(Number(url.port || 8081) + offset)
    return url.href
  }
  return {
    STOKER_MANAGEMENT_URL: at(0),
    STOKER_METRICS_URL: at(1),
    STOKER_INFERENCE_URL: at(-1),
  }
}

function toTerminal({ level, text }: Line): void {
  if (level !== 'debug') console.log(`${new Date().toTimeString().slice(0, 8)}  ${text}`)
}

function linux(): Host {
  const { PATH, LD_LIBRARY_PATH = '' } = process.env
  return {
    processes: linuxProcesses(),
    environment: linuxEnvironment(),
    openGuard: guardProcess,
    cgroup: linuxCgroup(),
    env: { ...(PATH === undefined ? {} : { PATH }), LD_LIBRARY_PATH },
    shownAt: url => Promise.resolve(url),
  }
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
  return String(Object(manifest).version)
}

function docs(args: string[]): void {
  const { check } = parse(args, { check: { type: 'boolean' } })
  if (!check) return writeDocs(fileURLToPath(root))
  const stale = checkDocs(fileURLToPath(root))
  if (stale.length === 0) return
  console.error(`Not what the code says: ${stale.join(', ')}. Run npm run docs.`)
  process.exitCode = EXIT_FAILED
}

async function manifests(args: string[], takeOut: boolean): Promise<void> {
  const options = takeOut ? {} : optionFlags
  const { values, positionals } = parsed({ args, options, allowPositionals: true })
  const read = readOptions(values, `stoker:${version()}`)
  if ('problems' in read) throw new UsageError(read.problems.join('.\n'))
  const streams = {
    read: (file: string) => (file === '-' ? textOf(process.stdin) : readFile(file, 'utf8')),
    write: (output: string) => process.stdout.write(output),
    tell: (line: string) => console.error(line),
  }
  const files = positionals.length > 0 ? positionals : ['-']
  const { changeFiles } = await import('./inject/command.ts')
  if (!(await changeFiles(files, takeOut ? undefined : read, streams)))
    process.exitCode = EXIT_FAILED
}

async function webhook(args: string[], signal: AbortSignal): Promise<void> {
  const values = parse(args, { ...optionFlags, ...webhookFlags })
  const options = readOptions(values, `stoker:${version()}`)
  const how = readWebhookFlags(values)
  if ('problems' in options) throw new UsageError(options.problems.join('.\n'))
  if ('problems' in how) throw new UsageError(how.problems.join('.\n'))
  // Loaded only here: Kubernetes’ client would take more memory than the agent has.
  const [{ runWebhook }, { connect }] = await Promise.all([
    import('./inject/webhook.ts'),
    import('./inject/cluster.ts'),
  ])
  const log = pino({ base: null })
  await runWebhook({ ...how, options, cluster: connect(), clock, log }, signal)
}

function help(): void {
  console.log(`${usage}\n${helpText()}`)
}

async function main([command, ...args]: string[]): Promise<void> {
  if ([command, ...args].some(word => word === '--help' || word === '-h')) return help()
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  switch (command) {
    case 'agent': {
      parse(args, {})
      const config = parseConfig(process.env)
      const log = pino({ level: config.logLevel, base: null })
      const write = ({ level, text, fields }: Line) => log[level](fields, text)
      return start(config, { host: linux(), version: version(), write }, stop.signal)
    }
    case 'demo':
      return demo(args, stop.signal)
    case 'inject':
    case 'uninject':
      return manifests(args, command === 'uninject')
    case 'webhook':
      return webhook(args, stop.signal)
    case 'docs':
      return docs(args)
    case 'version':
    case '--version':
      return console.log(version())
    case 'help':
    case undefined:
      return help()
    default:
      throw new UsageError(`Unknown command ${command}`)
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}.\n\n${usage}`)
  else console.error(error instanceof StokerError ? `${error.code}: ${error.message}` : error)
  const misused = error instanceof UsageError || error instanceof ConfigError
  process.exitCode = misused ? EXIT_USAGE : EXIT_FAILED
}
