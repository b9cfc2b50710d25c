import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { MissingTool } from '../missing.ts'

/** The programs that a test node is made with, and the Debian packages they are in. */
const packages: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  bridge: 'containernetworking-plugins',
  buildah: 'buildah',
  ip: 'iproute2',
  nsenter: 'util-linux',
}

/** And those for one that is a cluster. */
const clusterPackages: typeof packages = { ...packages, iptables: 'iptables' }

/** And those for one in a virtual machine. */
const guestPackages: typeof packages = {
  ...packages,
  'qemu-system-x86_64': 'qemu-system-x86',
  'mkfs.ext4': 'e2fsprogs',
}

/** Throws MissingTool, naming all that are missing. */
export const findTools = () => find(packages)

/** As findTools(), for a node that is a cluster. */
export const findClusterTools = () => find(clusterPackages)

/** As findTools(), for a node in a virtual machine. */
export const findGuestTools = () => find(guestPackages)

async function find(wanted: typeof packages): Promise<void> {
  const missing = await missingOf(wanted)
  if (missing.length === 0) return
  const names = missing.map(name => wanted[name]).join(' ')
  throw new MissingTool(
    `${missing.join(', ')} not found; on Debian: apt-get install --no-install-recommends ${names}`,
  )
}

/** The Debian packages that findGuestTools() would name. */
export async function missingGuestPackages(): Promise<string[]> {
  return (await missingOf(guestPackages)).map(name => guestPackages[name] ?? '')
}

async function missingOf(wanted: typeof packages): Promise<string[]> {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/lib/cni']
  const missing: string[] = []
  for (const name of Object.keys(wanted)) {
    const tries = folders.map(folder => access(join(folder, name), constants.X_OK))
    await Promise.any(tries).catch(() => missing.push(name))
  }
  return missing
}
