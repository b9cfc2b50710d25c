/** A child of this process's own cgroup in every hierarchy of the machine, for a node to live in. Nothing else of cgroups is touched. */
import { readFileSync } from 'node:fs'

interface Hierarchy {
  /** Where it is mounted. */
  mount: string
  /** How it is mounted again inside: the options of mount -t cgroup; undefined for version 2. */
  options: string | undefined
  /** This process's own cgroup. */
  own: string
}

export interface Cgroups {
  /** Shell commands: makes the children. */
  make: string
  /** Shell commands: moves the shell into them. */
  enter: string
  /** Shell commands: mounts the hierarchies at /sys/fs/cgroup of a mount namespace and cgroup namespace of its own. */
  mount: string
  /** Shell commands: removes the children, whose processes have just been killed. */
  remove: string
  /** The memory hierarchy's child. */
  memory: string
}

/** Throws where memory is in a version 2 hierarchy: there a cgroup with processes cannot have children with limits. */
export function ownCgroups(name: string): Cgroups {
  const hierarchies = findHierarchies()
  const children = hierarchies.map(({ own }) => `'${own}/${name}'`)
  const memory = hierarchies.find(({ options }) => options === 'memory')
  if (!memory)
    throw new Error(
      'The test node needs the memory controller in a cgroup v1 hierarchy, which this machine has not mounted (see /proc/self/mountinfo)',
    )
  const cpusets = hierarchies.filter(({ options }) => options?.includes('cpuset'))
  return {
    make: [
      `mkdir ${children.join(' ')}`,
      // A new cpuset has no cpu until it is given some, and takes no process before.
      ...cpusets.flatMap(({ own }) =>
        ['cpus', 'mems'].map(
          file => `cat '${own}/cpuset.${file}' >'${own}/${name}/cpuset.${file}'`,
        ),
      ),
    ].join('\n'),
    enter: children.map(child => `echo $$ >${child}/cgroup.procs`).join('\n'),
    mount: [
      'mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup',
      ...hierarchies.flatMap(({ mount, options }) =>
        options === undefined
          ? []
          : [`mkdir -p '${mount}'`, `mount -t cgroup -o '${options}' cgroup '${mount}'`],
      ),
    ].join('\n'),
    remove: `for try in $(seq 50); do
  find ${children.join(' ')} -depth -type d -exec rmdir {} + 2>/dev/null
  ls -d ${children.join(' ')} >/dev/null 2>&1 || break
  sleep 0.1
done`,
    memory: `${memory.own}/${name}`,
  }
}

function findHierarchies(): Hierarchy[] {
  const own = new Map<string, string>()
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, controllers, path] = /^\d+:(.*?):(.*)$/.exec(line) ?? []
    if (controllers !== undefined && path !== undefined) own.set(controllers, path)
  }
  const found: Hierarchy[] = []
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [type, , superOptions = ''] = after.split(' ')
    const mount = before.split(' ')[4]
    if ((type !== 'cgroup' && type !== 'cgroup2') || mount === undefined) continue
    const controllers = superOptions.split(',').filter(option => option !== 'rw')
    const key = type === 'cgroup' ? controllers.join(',') : ''
    const path = own.get(key) ?? '/'
    const named = key.startsWith('name=') ? `none,${key}` : key
    found.push({
      mount,
      options: type === 'cgroup' ? named : undefined,
      own: path === '/' ? mount : mount + path,
    })
  }
  return found
}
