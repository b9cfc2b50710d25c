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

/** Throws MissingTool, naming all that are missing. */
export async function findTools(): Promise<void> {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/lib/cni']
  const missing: string[] = []
  for (const name of Object.keys(packages)) {
    const tries = folders.map(folder => access(join(folder, name), constants.X_OK))
    await Promise.any(tries).catch(() => missing.push(name))
  }
  if (missing.length === 0) return
  const names = missing.map(name => packages[name]).join(' ')
  throw new MissingTool(
    `${missing.join(', ')} not found; on Debian: apt-get install --no-install-recommends ${names}`,
  )
}
