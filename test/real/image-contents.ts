/** What is in an image, from its archive: its configuration, its files, and how much of it each part is. */
import { execFile } from 'node:child_process'
import { createReadStream, readFileSync } from 'node:fs'
import { lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip } from 'node:zlib'

const run = promisify(execFile)
const TAR_MS = 60_000

interface Descriptor {
  digest: string
}

export interface Unpacked {
  /** Where its files are now. */
  root: string
  labels: Record<string, string>
}

/** Unpacks an OCI archive's only image, all its layers, below `folder`. */
export async function unpack(archive: string, folder: string): Promise<Unpacked> {
  const [oci, root] = [join(folder, 'oci'), join(folder, 'root')]
  for (const each of [oci, root]) await mkdir(each)
  await run('tar', ['--extract', '--file', archive, '--directory', oci], { timeout: TAR_MS })
  const blob = ({ digest }: Descriptor) => join(oci, 'blobs', digest.replace(':', '/'))
  const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))
  const { manifests } = read(join(oci, 'index.json')) as { manifests: [Descriptor] }
  const { config, layers } = read(blob(manifests[0])) as {
    config: Descriptor
    layers: Descriptor[]
  }
  for (const layer of layers) {
    const words = ['--extract', '--gzip', '--file', blob(layer), '--directory', root]
    await run('tar', words, { timeout: TAR_MS })
  }
  const { config: settings } = read(blob(config)) as { config: { Labels?: Record<string, string> } }
  return { root, labels: settings.Labels ?? {} }
}

/** All files, links not followed, with their bytes. */
export async function filesIn(root: string): Promise<{ path: string; bytes: number }[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  return Promise.all(
    files.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name)
      return { path: path.slice(root.length), bytes: (await lstat(path)).size }
    }),
  )
}

/** What the files take in a layer, compressed one after the other. */
export async function compressedBytes(root: string, paths: readonly string[]): Promise<number> {
  async function* content() {
    for (const path of paths) yield* createReadStream(join(root, path))
  }
  let bytes = 0
  await pipeline(content, createGzip(), async packed => {
    for await (const chunk of packed) bytes += (chunk as Buffer).length
  })
  return bytes
}
