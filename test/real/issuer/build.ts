/**
 * cert-manager's controllers, built from its Go module as it is released, with the go.mod and go.sum that are in it; kept in the cache
 * folder of ../cluster/build.ts. Some CPU minutes the first time.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cached, go } from '../cluster/build.ts'
import { certManager, download } from '../cluster/definitions.ts'

const main = join(import.meta.dirname, 'main.go')

/** The path of the program, built now if it is not in the cache. Throws MissingTool, or what the compiler says. */
export async function issuerProgram(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(main)).digest('hex').slice(0, 12)
  return cached(`cert-manager-${certManager.version}-${hash}`, 'controllers', async output => {
    // main.go has to be within the module: its dependencies are then those that the module was released with.
    const folder = await mkdtemp(join(tmpdir(), 'stoker-cert-manager-'))
    try {
      const source = join(folder, 'source')
      await cp(await download(certManager), source, { recursive: true })
      await chmod(source, 0o755)
      await mkdir(join(source, 'stoker'))
      await copyFile(main, join(source, 'stoker', 'main.go'))
      const flags = ['-mod=readonly', '-trimpath', '-ldflags', '-s -w']
      await go(source, 'build', ...flags, '-o', output, './stoker')
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
}
