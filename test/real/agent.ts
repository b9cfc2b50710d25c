/** Runs the real agent as a user would: as a process, configured by environment variables, read over HTTP. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Action, Inputs, Outcome, Reason } from '../../src/model.ts'
import type { TorchServe } from './torchserve.ts'
import { until } from './until.ts'

const START_MS = 60_000
const STOP_MS = 10_000

/** One entry of /decisions. */
export interface Told {
  atMs: number
  lastMs: number
  model: string
  reason: Reason
  because: string
  inputs: Inputs
  action: Action | null
  outcomes: Outcome[]
}

export interface Agent {
  readonly url: string
  pid: number
  /** Oldest first. */
  decisions(model?: string): Promise<Told[]>
  get(path: string): Promise<string>
  /** What it has written to its log, one entry a line. */
  log(): Record<string, unknown>[]
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Starts `stoker agent` beside a TorchServe; resolves once its page is up. */
export async function startAgent(
  server: Pick<TorchServe, 'managementUrl' | 'metricsUrl' | 'inferenceUrl'>,
  env: Record<string, string> = {},
): Promise<Agent> {
  const main = join(import.meta.dirname, '../../src/main.ts')
  const child = spawn(process.execPath, [main, 'agent'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      STOKER_MANAGEMENT_URL: server.managementUrl.origin,
      STOKER_METRICS_URL: server.metricsUrl.origin,
      STOKER_INFERENCE_URL: server.inferenceUrl.origin,
      STOKER_LISTEN_HOST: '127.0.0.1',
      STOKER_LISTEN_PORT: '0',
      STOKER_HOLD_MS: '10000',
      ...env,
    },
  })
  const exited = once(child, 'exit')
  const killChild = () => child.kill('SIGKILL')
  process.once('exit', killChild)
  let text = ''
  child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
  const log = () => text.split('\n').slice(0, -1).map(parseLine)
  const urlOf = () => log().find(line => typeof line['url'] === 'string')?.['url']
  if (
    !(await until(() => urlOf() !== undefined || child.exitCode !== null, START_MS)) ||
    child.exitCode !== null
  ) {
    killChild()
    throw new Error(`The agent did not start: ${text}`)
  }
  const url = String(urlOf())
  const get = async (path: string) =>
    (await fetch(new URL(path, url), { signal: AbortSignal.timeout(5_000) })).text()
  return {
    url,
    pid: child.pid ?? 0,
    log,
    get,
    async decisions(model) {
      const { decisions } = JSON.parse(await get('/decisions')) as { decisions: Told[] }
      return decisions.filter(each => model === undefined || each.model === model).toReversed()
    },
    async kill() {
      killChild()
      await exited
    },
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(killChild, STOP_MS)
      const [code] = (await exited) as [number | null]
      clearTimeout(timer)
      return code
    },
  }
}

function parseLine(line: string): Record<string, unknown> {
  return JSON.parse(line) as Record<string, unknown>
}

/** Workers as TorchServe lists them. */
export async function workersOf(
  server: Pick<TorchServe, 'managementUrl'>,
  model: string,
): Promise<{ id: string; status: string; pid: number }[]> {
  const reply = await fetch(new URL(`/models/${model}`, server.managementUrl), {
    signal: AbortSignal.timeout(5_000),
  })
  const [description] = (await reply.json()) as {
    workers: { id: string; status: string; pid: number }[]
  }[]
  return description?.workers ?? []
}

/** Jobs waiting in the model's queue. */
export async function waitingOf(
  server: Pick<TorchServe, 'managementUrl'>,
  model: string,
): Promise<number> {
  const reply = await fetch(new URL(`/models/${model}`, server.managementUrl), {
    signal: AbortSignal.timeout(5_000),
  })
  const [description] = (await reply.json()) as { jobQueueStatus: { pendingRequests: number } }[]
  return description?.jobQueueStatus.pendingRequests ?? 0
}

export async function readyOf(
  server: Pick<TorchServe, 'managementUrl'>,
  model: string,
): Promise<number> {
  return (await workersOf(server, model)).filter(({ status }) => status === 'READY').length
}
