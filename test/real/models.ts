/** The models of the real server: a folder each in its model store, a behaviour that can change, a log of what ran. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Installation } from './install.ts'

const run = promisify(execFile)

/** What handlers/sleep.py does; read again before each load and each call. */
export interface Behaviour {
  /** Time per call, whatever the size of its batch. */
  serviceMs: number
  loadMs: number
  /** Serve under one lock for all workers: more of them bring nothing. */
  lock: boolean
  /** A worker that loads while this many minus one others live fails to; null: none fails. */
  failFrom: number | null
  /** How long such a load takes until it fails. */
  failAfterMs: number
  /** `kill` dies by SIGKILL as on an out-of-memory kill; `hang` never returns. */
  failMode: 'cuda' | 'mem' | 'plain' | 'exit' | 'kill' | 'hang'
  /** Taken at a worker's first request and kept. */
  allocMiB: number
  /** What an empty row (a DESCRIBE job) meets: an answer at once, a whole service time, or an exception. */
  decoy: 'answer' | 'run' | 'raise'
}

const DEFAULT_BEHAVIOUR: Behaviour = {
  serviceMs: 100,
  loadMs: 0,
  lock: false,
  failFrom: null,
  failAfterMs: 0,
  failMode: 'plain',
  allocMiB: 0,
  decoy: 'answer',
}

/** TorchServe's own settings of a model, as in its model-config.yaml. Times ending in nothing are seconds. */
interface ModelConfig {
  minWorkers?: number
  maxWorkers?: number
  batchSize?: number
  /** Milliseconds. */
  maxBatchDelay?: number
  responseTimeout?: number
  startupTimeout?: number
  maxRetryTimeoutInSec?: number
  jobQueueSize?: number
}

export interface ModelSpec {
  name: string
  /** `torchscript` needs the `torch` flavour and knows no behaviour. Default `sleep`. */
  handler?: 'sleep' | 'torchscript'
  /** Default `1.0`. Give a model twice to serve two versions; the first is the default version. */
  version?: string
  config?: ModelConfig
  behaviour?: Partial<Behaviour>
}

/** One row of one call of the handler. */
export interface Execution {
  id: string
  pid: number
  /** The how-many-th call of this process; rows of one batch have the same. */
  call: number
  beginMs: number
  /** Absent: still running, or cut short. */
  endMs: number | undefined
}

/** What a model's handlers did since the server's first start. Times are milliseconds since the epoch. */
export interface ModelLog {
  executions: Execution[]
  decoys: { pid: number; call: number; atMs: number }[]
  loads: { pid: number; beginMs: number; endMs: number | undefined }[]
}

/** Writes one model into the store; returns TorchServe's `--models` argument for it. */
export async function writeModel(folder: string, spec: ModelSpec, installation: Installation) {
  const { name, version = '1.0', handler = 'sleep' } = spec
  const archive = `${name}-${version}`
  const target = join(folder, 'store', archive)
  mkdirSync(join(target, 'MAR-INF'), { recursive: true })
  const source = join(import.meta.dirname, 'handlers', `${handler}.py`)
  copyFileSync(source, join(target, `${handler}.py`))
  const model = {
    modelName: name,
    modelVersion: version,
    handler: `${handler}.py`,
    configFile: 'model-config.yaml',
    ...(handler === 'torchscript' && { serializedFile: 'model.pt' }),
  }
  const manifest = { model, runtime: 'python', createdOn: '2026-01-01', archiverVersion: '0.12.0' }
  writeFileSync(join(target, 'MAR-INF', 'MANIFEST.json'), JSON.stringify(manifest))
  const config = { minWorkers: 1, maxWorkers: 1, ...spec.config }
  const yaml = Object.entries(config).map(([key, value]) => `${key}: ${value}\n`)
  writeFileSync(join(target, 'model-config.yaml'), yaml.join(''))
  if (handler === 'torchscript')
    await run(installation.python, [source, join(target, 'model.pt')], { timeout: 60_000 })
  writeBehaviour(folder, name, { ...DEFAULT_BEHAVIOUR, ...spec.behaviour })
  return `${name}=${archive}`
}

/** Changes a model's behaviour from the next load or call on. */
export function changeBehaviour(folder: string, model: string, change: Partial<Behaviour>) {
  const now: object = JSON.parse(readFileSync(join(folder, `${model}.json`), 'utf8'))
  writeBehaviour(folder, model, { ...now, ...change })
}

function writeBehaviour(folder: string, model: string, behaviour: object) {
  const path = join(folder, `${model}.json`)
  writeFileSync(`${path}.new`, JSON.stringify(behaviour))
  renameSync(`${path}.new`, path)
}

export function readModelLog(folder: string, model: string): ModelLog {
  const log: ModelLog = { executions: [], decoys: [], loads: [] }
  const running = new Map<string, Execution>()
  for (const line of readLines(join(folder, `${model}.log`))) {
    const [event, id = '', ...numbers] = line.split(' ')
    const [pid = 0, atMs = 0, call = 0] = numbers.map(Number)
    const load = log.loads.findLast(each => each.pid === pid)
    const execution = running.get(`${pid} ${id}`)
    if (event === 'load') log.loads.push({ pid, beginMs: atMs, endMs: undefined })
    else if (event === 'loaded' && load) load.endMs = atMs
    else if (event === 'decoy') log.decoys.push({ pid, call, atMs })
    else if (event === 'end' && execution) execution.endMs = atMs
    else if (event === 'begin') {
      const begun: Execution = { id, pid, call, beginMs: atMs, endMs: undefined }
      running.set(`${pid} ${id}`, begun)
      log.executions.push(begun)
    }
  }
  return log
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } catch {
    return [] // nothing has loaded yet
  }
}
