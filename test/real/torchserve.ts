/** Starts a real TorchServe on free loopback ports, in a temporary folder of its own. Nothing of it stays behind: guard.ts. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { makeCertificate, writeConfig } from './configuration.ts'
import { logTail, startGuarded, type Guarded } from './guard.ts'
import { call } from './http.ts'
import { install, type Flavour, type Installation } from './install.ts'
import { changeBehaviour, readModelLog, writeModel } from './models.ts'
import type { Behaviour, ModelLog, ModelSpec } from './models.ts'
import { until } from './until.ts'

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000

export interface Options {
  models: readonly ModelSpec[]
  /** Further lines of config.properties, over the harness's own. */
  config?: Readonly<Record<string, string | number | boolean>>
  /** With token authorisation; tokens are in keyFile. */
  auth?: boolean
  /** With https on all three addresses; the certificate to trust is caFile. */
  tls?: boolean
  /** Makes TorchServe believe in so many GPUs, by an nvidia-smi of ours; handlers that do not touch them run as on a CPU. */
  gpus?: number
  /** Default `stub`. */
  flavour?: Flavour
}

export interface TorchServe {
  inferenceUrl: URL
  managementUrl: URL
  metricsUrl: URL
  /** Exists with `auth` only. */
  keyFile: string
  /** Exists with `tls` only. */
  caFile: string | undefined
  /** Process id of the Java server; another one after restart(). */
  pid(): number
  /** From the next load or call on; models with handler `sleep` only. */
  behave(model: string, change: Partial<Behaviour>): void
  log(model: string): ModelLog
  /** The end of the server's own log. */
  serverLog(): string
  /** How often TorchServe has asked nvidia-smi about one GPU; with `gpus` only. */
  gpuQueries(): number
  /** Stops the Java process, not its workers: connections are accepted and nothing is answered. */
  freeze(): void
  thaw(): void
  /** Kills everything at once, as a crash of the container, and starts again on the same ports. */
  restart(): Promise<void>
  /** SIGTERM; whatever is left after 10 s is killed. Removes the folder. May be called again. */
  stop(): Promise<void>
}

interface Run {
  folder: string
  installation: Installation
  options: Options
  command: string[]
  managementUrl: URL
  caFile: string | undefined
}

/** Resolves when every worker is READY. Throws MissingTool, or Error with the end of the log when that takes over 60 s. */
export async function startTorchServe(options: Options): Promise<TorchServe> {
  const installation = await install(options.flavour ?? 'stub')
  const folder = mkdtempSync(join(tmpdir(), 'stoker-torchserve-'))
  for (const name of ['store', 'tmp']) mkdirSync(join(folder, name))
  const models: string[] = []
  for (const spec of options.models) models.push(await writeModel(folder, spec, installation))
  const caFile = options.tls ? await makeCertificate(folder, installation) : undefined
  const [inference, management, metrics] = await writeConfig(folder, options)
  if (options.gpus !== undefined) writeNvidiaSmi(folder, options.gpus)
  const command = serverCommand(folder, options, models)
  const run: Run = { folder, installation, options, command, managementUrl: management, caFile }

  let guard = await launch(run)
  const javaPid = () => Number(readFileSync(pidFile(folder), 'utf8'))
  return {
    inferenceUrl: inference,
    managementUrl: management,
    metricsUrl: metrics,
    keyFile: join(folder, 'key_file.json'),
    caFile,
    pid: javaPid,
    behave: (model, change) => changeBehaviour(folder, model, change),
    log: model => readModelLog(folder, model),
    serverLog: () => logTail(folder),
    gpuQueries: () => readFileSync(join(folder, 'nvidia-smi.log'), 'utf8').split('-i ').length - 1,
    freeze: () => void process.kill(javaPid(), 'SIGSTOP'),
    thaw: () => void process.kill(javaPid(), 'SIGCONT'),
    restart: async () => {
      await guard.release({ keepFolder: true })
      guard = await launch(run)
    },
    stop: async () => {
      if (guard.ended()) return
      const pid = javaPid()
      if (isAlive(pid))
        for (const signal of ['SIGCONT', 'SIGTERM'] as const) process.kill(pid, signal)
      await until(() => !isAlive(pid), STOP_TIMEOUT_MS)
      await guard.release()
    },
  }
}

async function launch(run: Run): Promise<Guarded> {
  const { folder, installation, command } = run
  rmSync(pidFile(folder), { force: true })
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('TS_'))
  const guard = startGuarded([installation.python, ...command], {
    folder,
    env: {
      ...Object.fromEntries(inherited),
      PATH: `${join(folder, 'bin')}:${installation.javaFolder}:${dirname(installation.python)}:${process.env['PATH'] ?? ''}`,
      TEMP: join(folder, 'tmp'),
      TMPDIR: join(folder, 'tmp'),
    },
  })
  const ready = await until(() => isReady(run), START_TIMEOUT_MS).catch((error: unknown) => error)
  if (ready === true) return guard
  const tail = logTail(folder)
  await guard.release()
  const why = ready instanceof Error ? ready.message : `not ready within ${START_TIMEOUT_MS} ms`
  throw new Error(`TorchServe did not start: ${why}. The end of its log:\n${tail}`)
}

async function isReady({ folder, options, managementUrl, caFile }: Run): Promise<boolean> {
  const pid = existsSync(pidFile(folder)) ? Number(readFileSync(pidFile(folder), 'utf8')) : 0
  if (pid > 0 && !isAlive(pid)) throw new Error('the Java process has ended')
  for (const { name, config, behaviour } of options.models) {
    const headers = options.auth ? bearer(folder) : {}
    const url = new URL(`/models/${name}/all`, managementUrl)
    const reply = await call(url, { headers, caFile, timeoutMs: 2000 }).catch(() => undefined)
    if (reply?.status !== 200) return false
    const ready = reply.text.split('"status": "READY"').length - 1
    if (behaviour?.failFrom !== 1 && ready < (config?.minWorkers ?? 1)) return false
  }
  return true
}

function bearer(folder: string): Record<string, string> {
  try {
    const keys: { management: { key: string } } = JSON.parse(
      readFileSync(join(folder, 'key_file.json'), 'utf8'),
    )
    return { authorization: `Bearer ${keys.management.key}` }
  } catch {
    return {} // not written yet; the call is refused and tried again
  }
}

/** What python is to run; `models` as writeModel() returned them. */
export function serverCommand(folder: string, options: Pick<Options, 'auth'>, models: string[]) {
  const start = ['-m', 'ts.model_server', '--start', '--ncs', '--foreground']
  const store = ['--model-store', join(folder, 'store'), '--models', ...models]
  const config = ['--ts-config', join(folder, 'config.properties')]
  const quiet = ['--log-config', join(import.meta.dirname, 'log4j2.xml')]
  return [
    ...start,
    ...store,
    ...config,
    ...quiet,
    ...(options.auth ? [] : ['--disable-token-auth']),
  ]
}

/** Answers the two questions that TorchServe asks nvidia-smi: which GPUs there are, and how one is used. */
function writeNvidiaSmi(folder: string, gpus: number) {
  const indices = Array.from({ length: gpus }, (_, index) => `${index}\\n`).join('')
  const script = `#!/bin/sh
echo "$*" >> ${folder}/nvidia-smi.log
case "$*" in
  *-i*) printf 'utilization.gpu [%%], utilization.memory [%%], memory.used [MiB]\\n1 %%, 1 %%, 100 MiB\\n' ;;
  *) printf 'index\\n${indices}' ;;
esac
`
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin', 'nvidia-smi'), script, { mode: 0o755 })
}

/** Where TorchServe's launcher leaves the process id of the Java server. */
function pidFile(folder: string): string {
  return join(folder, 'tmp', '.model_server.pid')
}

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}
