import { readdirSync, readFileSync } from 'node:fs'
import type { ContainerMemory } from '../model.ts'

/** The memory of the container that TorchServe runs in, read through its main process. Synchronous; takes microseconds. */
export interface TorchServeCgroup {
  /** What its cgroup shows now, or why it cannot be read. */
  memory(): ContainerMemory | { why: string }
}

const MAIN_CLASS = 'org.pytorch.serve.ModelServer'
/** Cgroup v1 writes the largest number of pages for "no limit". */
const NO_LIMIT_V1 = 2 ** 60

/** The files of one version of cgroups, under /sys/fs/cgroup. */
interface Layout {
  usage: string
  limit: string
  stat: string
  /** Of `stat`: file pages that nobody used lately. */
  inactive: string
  /** Where the kernel counts its kills, as a line `oom_kill N`. */
  kills: string
}

const layouts: readonly Layout[] = [
  {
    usage: 'memory.current',
    limit: 'memory.max',
    stat: 'memory.stat',
    inactive: 'inactive_file',
    kills: 'memory.events',
  },
  {
    usage: 'memory/memory.usage_in_bytes',
    limit: 'memory/memory.limit_in_bytes',
    stat: 'memory/memory.stat',
    inactive: 'total_inactive_file',
    kills: 'memory/memory.oom_control',
  },
]

/** Needs TorchServe's PID namespace, its user id and its group id. */
export function linuxCgroup(proc = '/proc'): TorchServeCgroup {
  let java: string | undefined

  const isTorchServe = (pid: string) => read(`${proc}/${pid}/cmdline`)?.includes(MAIN_CLASS)
  function find(): string | { why: string } {
    if (java !== undefined && isTorchServe(java)) return java
    const found = readdirSync(proc).filter(name => /^\d+$/.test(name) && isTorchServe(name))
    java = found.length === 1 ? found[0] : undefined
    if (java !== undefined) return java
    if (found.length > 1) {
      return { why: `${found.length} TorchServes are seen, and nothing tells which is this one` }
    }
    return { why: 'TorchServe’s process cannot be seen: the pod does not share its PID namespace' }
  }

  return {
    memory() {
      const pid = find()
      if (typeof pid !== 'string') return pid
      const root = `${proc}/${pid}/root/sys/fs/cgroup`
      for (const layout of layouts) {
        const memory = memoryOf(root, layout)
        if (memory) return memory
      }
      return { why: `TorchServe’s cgroup cannot be read: ${whoIs(proc, pid)}` }
    },
  }
}

/** What of its user and group the agent may lack. */
function whoIs(proc: string, pid: string): string {
  const [its, own] = [idsOf(proc, pid), idsOf(proc, 'self')]
  return its === own
    ? `it runs as ${its} (user:group), as the agent does, and still may not be looked into`
    : `it runs as ${its} (user:group) and the agent as ${own}; have both say the same in securityContext, runAsUser and runAsGroup`
}

function idsOf(proc: string, pid: string): string {
  const status = read(`${proc}/${pid}/status`) ?? ''
  const id = (name: string) => new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? '?'
  return `${id('Uid')}:${id('Gid')}`
}

/** Undefined unless all of it can be read: a limit that is not seen is not "no limit", nor are kills 0. */
function memoryOf(root: string, layout: Layout): ContainerMemory | undefined {
  const [usage, limit, stat, kills] = [layout.usage, layout.limit, layout.stat, layout.kills].map(
    name => read(`${root}/${name}`),
  )
  if (!usage || !limit || stat === undefined || kills === undefined) return undefined
  const usageBytes = Number(usage)
  return {
    usageBytes,
    workingBytes: Math.max(0, usageBytes - (counter(stat, layout.inactive) ?? 0)),
    limitBytes: Number(limit) < NO_LIMIT_V1 ? Number(limit) : undefined,
    oomKills: counter(kills, 'oom_kill') ?? 0,
  }
}

function counter(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]
  return found === undefined ? undefined : Number(found)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
