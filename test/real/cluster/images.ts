/** Images for a test node, built by Debian's buildah from files of this machine: no registry of images is asked. */
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { program } from './build.ts'

const run = promisify(execFile)
const BUILD_TIMEOUT_MS = 180_000

// Ends with this process, and leaves what buildah keeps under /var/lib beside the store in a file system that nobody else sees.
const ALONE =
  'setpriv --pdeathsig=KILL unshare --mount --pid --fork --kill-child --mount-proc /bin/sh -c'
const HIDDEN = 'mount -t tmpfs tmpfs /var/lib && exec "$@"'

export interface Builder {
  /** Builds an image of this name from `context/Dockerfile`, whose bases it must have built before; the path of an OCI archive. */
  build(name: string, context: string): Promise<string>
}

/** A builder with a store of its own in `folder`. */
export function createBuilder(folder: string): Builder {
  const store = [`--root=${join(folder, 'store')}`, `--runroot=${join(folder, 'run')}`]
  const buildah = async (...words: string[]) => {
    const [first = '', ...args] = ALONE.split(' ')
    const command = ['buildah', '--storage-driver=vfs', ...store, ...words]
    await run(first, [...args, HIDDEN, 'sh', ...command], {
      timeout: BUILD_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 2 ** 24,
      env: { ...process.env, TMPDIR: folder },
    })
  }
  let archives = 0
  return {
    async build(name, context) {
      await mkdir(folder, { recursive: true })
      // chroot: other isolations need what a machine that is itself a container does not allow.
      await buildah('bud', '--isolation=chroot', '--pull-never', `--tag=${name}`, context)
      const archive = join(folder, `${++archives}.tar`)
      await buildah('push', '--quiet', name, `oci-archive:${archive}:${name}`)
      return archive
    },
  }
}

/** Kubernetes' own pause program, which holds a pod's namespaces and reaps the orphans of a shared PID namespace. */
export async function buildPause(builder: Builder, folder: string, name: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  await copyFile(await program('pause'), join(folder, 'pause'))
  const lines = ['FROM scratch', 'COPY pause /pause', 'ENTRYPOINT ["/pause"]', '']
  await writeFile(join(folder, 'Dockerfile'), lines.join('\n'))
  return builder.build(name, folder)
}

/** An image with nothing in it but places: what runs in it comes from the machine's folders, mounted read-only. */
export async function buildEmpty(builder: Builder, folder: string, name: string): Promise<string> {
  const root = join(folder, 'root')
  await mkdir(join(root, 'etc'), { recursive: true })
  await symlinkToUsr(root)
  // As TorchServe's own image knows its user: who is started as 1000 has the group 1000.
  await writeFile(join(root, 'etc', 'passwd'), 'model-server:x:1000:1000:::\n')
  await mkdir(join(root, 'tmp'))
  await chmod(join(root, 'tmp'), 0o1777)
  await writeFile(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY root /\n')
  return builder.build(name, folder)
}

/** Debian's layout: programs and libraries are below /usr. */
export async function symlinkToUsr(root: string): Promise<void> {
  for (const place of ['bin', 'sbin', 'lib', 'lib64'])
    await symlink(join('usr', place), join(root, place))
}
