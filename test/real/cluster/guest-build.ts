/**
 * What a virtual machine needs to be a test node: QEMU from Debian's package, installed when run as a program and missing, and Debian's
 * kernel and busybox, which are not installed but unpacked into the cache folder of build.ts. `node guest-build.ts` gets all of it: 70 MB
 * of downloads for the kernel, 20 MB for QEMU.
 */
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, globSync, mkdirSync, readFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { MissingTool } from '../missing.ts'
import { cached } from './build.ts'
import { missingGuestPackages } from './tools.ts'

const run = promisify(execFile)
const APT_MS = 600_000
const UNPACK_MS = 120_000

/** Names of Debian's kernel modules, each after those it needs: what the guest's init loads, in this order. */
const MODULES = [
  ['virtio_pci', '9p', '9pnet_virtio', 'virtio_blk', 'virtio_net'],
  ['crc32c_generic', 'ext4', 'overlay', 'veth', 'bridge'],
].flat()

export interface GuestKernel {
  kernel: string
  /** An archive with busybox, the modules and guest-init.sh; gzip is not needed. */
  initramfs: string
}

/** Debian's newest kernel that apt knows, unpacked now if it is not in the cache. Throws MissingTool where apt knows none. */
export async function guestKernel(): Promise<GuestKernel> {
  const image = await dependency('linux-image-amd64')
  const files = await cached(`guest-${image.name}_${image.version}`, 'files', output =>
    unpack([image.name, 'busybox-static'], output),
  )
  const [kernel] = globSync(join(files, 'boot', 'vmlinuz-*'))
  if (kernel === undefined) throw new Error(`${files} has no kernel in boot`)
  return { kernel, initramfs: await buildInitramfs(files) }
}

/** The one package that a package without files of its own depends on. */
async function dependency(name: string): Promise<{ name: string; version: string }> {
  const { stdout } = await run('apt-cache', ['show', '--no-all-versions', name]).catch(() => ({
    stdout: '',
  }))
  const [, depends, version] = /^Depends: (\S+) \(= (\S+)\)/m.exec(stdout) ?? []
  if (depends === undefined || version === undefined)
    throw new MissingTool(`apt knows no ${name}; on Debian: apt-get update`)
  return { name: depends, version }
}

async function unpack(packages: readonly string[], output: string): Promise<void> {
  const downloads = `${output}.packages`
  mkdirSync(downloads, { recursive: true })
  try {
    // apt gives up its rights for downloads, and then cannot write here.
    const asRoot = ['-o', 'APT::Sandbox::User=root']
    await run('apt-get', [...asRoot, 'download', ...packages], { cwd: downloads, timeout: APT_MS })
    for (const file of globSync(join(downloads, '*.deb')))
      await run('dpkg-deb', ['--extract', file, output], { timeout: UNPACK_MS })
  } finally {
    await rm(downloads, { recursive: true, force: true })
  }
}

/** Made anew each time, in a moment. */
async function buildInitramfs(files: string): Promise<string> {
  const root = join(files, `initramfs.${process.pid}`)
  const busybox = join(files, 'bin', 'busybox')
  for (const place of ['bin', 'modules', 'machine'])
    mkdirSync(join(root, place), { recursive: true })
  try {
    copyFileSync(busybox, join(root, 'bin', 'busybox'))
    copyFileSync(join(import.meta.dirname, 'guest-init.sh'), join(root, 'init'))
    chmodSync(join(root, 'init'), 0o755)
    for (const [at, file] of inOrder(files).entries())
      copyFileSync(file, join(root, 'modules', `${String(at).padStart(2, '0')}-${basename(file)}`))
    const archive = `cd '${root}' && find . | '${busybox}' cpio -o -H newc >'${root}.cpio'`
    await run('/bin/sh', ['-c', archive], { timeout: UNPACK_MS })
    await rename(`${root}.cpio`, join(files, 'initramfs.cpio'))
  } finally {
    await rm(root, { recursive: true, force: true })
  }
  return join(files, 'initramfs.cpio')
}

/** The modules' files. Each file says, in a section of its own, which others it needs. */
function inOrder(files: string): string[] {
  const named = (path: string) => basename(path, '.ko').replaceAll('-', '_')
  const all = globSync(join(files, 'lib', 'modules', '*', 'kernel', '**', '*.ko'))
  const paths = new Map(all.map(path => [named(path), path]))
  const ordered = new Set<string>()
  const add = (name: string) => {
    const path = paths.get(name)
    if (path === undefined) throw new Error(`The kernel in ${files} has no module ${name}`)
    if (ordered.has(path)) return
    const needs = /\0depends=([^\0]*)\0/.exec(readFileSync(path, 'latin1'))?.[1] ?? ''
    for (const need of needs.split(',')) if (need !== '') add(need.replaceAll('-', '_'))
    ordered.add(path)
  }
  for (const name of MODULES) add(name)
  return [...ordered]
}

if (import.meta.main) {
  const missing = await missingGuestPackages()
  const apt = (...words: string[]) =>
    run('apt-get', ['-qq', ...words], {
      timeout: APT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  if (missing.length > 0) {
    await apt('update')
    await apt('install', '-y', '--no-install-recommends', ...missing)
  }
  // What apt knows may be nothing yet, or a version that Debian has replaced.
  const found = await guestKernel().catch(async () => apt('update').then(guestKernel))
  console.log(`${found.kernel}\n${found.initramfs}`)
}
