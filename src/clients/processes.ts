import { readdirSync, readFileSync } from 'node:fs'
import type { ProcessUse } from '../model.ts'

export type Doing = 'idle' | 'busy' | 'stopped' | 'gone' | 'hidden'

/** TorchServe's worker processes, seen from outside. The calls are synchronous and take microseconds. */
export interface Processes {
  /** What a worker process is doing; `hidden` where it cannot be seen: another PID namespace, user id or group id. */
  look(pid: number): Doing
  /**
   * A text that stays the same as long as TorchServe's own threads for this worker have not moved, that is, neither took a job
   * nor returned one; undefined where they cannot be seen.
   */
  thread(workerId: string, workerPid: number): string | undefined
  /** Ids of all workers of the same model that TorchServe has threads for, itself included; some may be in no list any more. */
  siblings(workerId: string, workerPid: number): string[]
  /**
   * A text of all of TorchServe's threads if every one of them sleeps, else undefined. Two equal texts mean that nothing moved
   * inside TorchServe from the first to the second: nothing is on its way from it to a worker, or back.
   */
  still(workerPid: number): string | undefined
  /** What a process and its children use; undefined where it cannot be seen. */
  use(pid: number): ProcessUse | undefined
  /** Whether a process is a TorchServe worker; undefined where TorchServe's processes cannot be seen. */
  isWorker(pid: number): boolean | undefined
  /** `false`: not allowed, or no such process. */
  signal(pid: number, signal: 'SIGSTOP' | 'SIGCONT'): boolean
}

/** The kernel function in which an idle worker waits for TorchServe's next job on its Unix socket. */
const WAITS_FOR_JOB = /^unix_stream_/
/** The compilers of the Java machine, which are awake for long and have no part in any request. */
const COMPILER = /^C[12] Compiler/
/** More children than a worker has; what is beyond is left out. */
const MOST_PROCESSES = 100
/** Linux counts processor time in these for every program, whatever the kernel's own tick. */
const MS_PER_CLOCK_TICK = 10
/** Thread ids are looked up again after this long; TorchServe starts new threads with each worker process. */
const THREADS_KNOWN_MS = 500

/** The Linux implementation over /proc. Needs TorchServe's PID namespace; `look` also its user id and group id, `signal` its user id. */
export function linuxProcesses(proc = '/proc'): Processes {
  let seenWorker = false
  const threadsOf = workerThreads(proc)

  return {
    look(pid) {
      const stat = statOf(proc, pid)
      if (!stat || stat.state === 'Z' || stat.state === 'X') return 'gone'
      if (stat.state === 'T' || stat.state === 't') return 'stopped'
      const waitsIn = read(`${proc}/${pid}/wchan`)
      if (waitsIn === undefined) return 'hidden'
      if (WAITS_FOR_JOB.test(waitsIn)) return 'idle'
      // A kernel that hides the name says 0, and so does it for a running process.
      return waitsIn === '0' && stat.state !== 'R' ? 'hidden' : 'busy'
    },

    thread(workerId, workerPid) {
      const java = statOf(proc, workerPid)?.parent
      const own = java === undefined ? undefined : threadsOf(java, workerId).get(workerId)
      return own?.tids.map(tid => textOf(threadOf(`${proc}/${java}/task/${tid}`), tid)).join(' ')
    },

    siblings(workerId, workerPid) {
      const java = statOf(proc, workerPid)?.parent
      if (java === undefined) return []
      const workers = threadsOf(java, workerId)
      const model = workers.get(workerId)?.model
      return model === undefined
        ? []
        : [...workers].flatMap(([id, its]) => (mayBeSame(its.model, model) ? [id] : []))
    },

    still(workerPid) {
      const java = statOf(proc, workerPid)?.parent
      const texts: string[] = []
      for (const tid of list(`${proc}/${java}/task`)) {
        const thread = threadOf(`${proc}/${java}/task/${tid}`)
        if (!thread || COMPILER.test(thread.name)) continue
        if (thread.state !== 'S') return undefined
        texts.push(textOf(thread, tid))
      }
      return texts.length > 0 ? texts.join(' ') : undefined
    },

    use: pid => treeUse(proc, pid),

    isWorker(pid) {
      const command = read(`${proc}/${pid}/cmdline`)
      if (command?.includes('model_service_worker')) {
        seenWorker = true
        return true
      }
      return seenWorker ? false : undefined
    },

    signal(pid, signal) {
      try {
        return process.kill(pid, signal)
      } catch {
        return false
      }
    },
  }
}

/** A worker may have children of its own, as for loading data. */
function treeUse(proc: string, root: number): ProcessUse | undefined {
  const total = useOf(proc, root)
  if (!total) return undefined
  const pids = [root]
  for (const pid of pids) {
    if (pids.length > MOST_PROCESSES) break
    const children = read(`${proc}/${pid}/task/${pid}/children`)?.trim()
    if (children) pids.push(...children.split(' ').map(Number))
  }
  for (const pid of pids.slice(1)) {
    const { bytes, cpuMs } = useOf(proc, pid) ?? { bytes: 0, cpuMs: 0 }
    total.bytes += bytes
    total.cpuMs += cpuMs
  }
  return total
}

function useOf(proc: string, pid: number): ProcessUse | undefined {
  const status = read(`${proc}/${pid}/status`)
  const stat = read(`${proc}/${pid}/stat`)
  if (status === undefined || stat === undefined) return undefined
  const bytes = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0)
  // Fields 14 and 15 of all, the state being the third.
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return {
    bytes: bytes('RssAnon') + bytes('RssShmem'),
    cpuMs: ((user ?? 0) + (system ?? 0)) * MS_PER_CLOCK_TICK,
  }
}

/** Looks up a Java process's threads by worker id; `wanted` is one that must be among them if it has any. */
function workerThreads(proc: string) {
  let known: { java: number; atMs: number; workers: Map<string, WorkerThreads> } | undefined
  return (java: number, wanted: string): Map<string, WorkerThreads> => {
    const atMs = performance.now()
    const isRecent = known?.java === java && atMs - known.atMs < THREADS_KNOWN_MS
    if (known && isRecent && known.workers.has(wanted)) return known.workers
    const workers = new Map<string, WorkerThreads>()
    for (const tid of list(`${proc}/${java}/task`)) {
      // TorchServe names a worker's threads W-<id>-<model>_<version>; the kernel cuts that to 15 characters.
      const name = read(`${proc}/${java}/task/${tid}/comm`)?.trimEnd() ?? ''
      const [, worker, model] = /^W-(\d+)-(.*)$/.exec(name) ?? []
      if (worker === undefined || model === undefined) continue
      workers.set(worker, { model, tids: [...(workers.get(worker)?.tids ?? []), tid] })
    }
    known = { java, atMs, workers }
    return workers
  }
}

interface WorkerThreads {
  /** Model and version, or the beginning of them. */
  model: string
  tids: string[]
}

/** Whether two names that may have been cut can be of one model. */
function mayBeSame(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one)
}

/** A thread text in which every thread sleeps: one that runs may be about to take a job. */
export function asleep(thread: string): boolean {
  return thread.split(' ').every(part => part.split(':')[1]?.startsWith('S'))
}

interface Thread {
  name: string
  state: string
  /** How often it has gone to sleep by itself: it has, whenever it ran. */
  slept: string
}

function threadOf(folder: string): Thread | undefined {
  const status = read(`${folder}/status`)
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status ?? '')?.[1]
  const slept = field('voluntary_ctxt_switches')
  if (slept === undefined) return undefined
  return { name: field('Name') ?? '', state: field('State')?.charAt(0) ?? '', slept }
}

function textOf(thread: Thread | undefined, tid: string): string {
  return `${tid}:${thread?.state ?? ''}${thread?.slept ?? ''}`
}

function statOf(proc: string, pid: number): { state: string; parent: number } | undefined {
  const stat = read(`${proc}/${pid}/stat`)
  // The command name before it is in parentheses and may hold anything.
  const [state, parent] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  return state && parent ? { state, parent: Number(parent) } : undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
