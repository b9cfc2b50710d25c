/** A Go module that builds Kubernetes of any release; what go.mod beside this file does for the one that most suites run. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { go as runGo } from './build.ts'

const KUBERNETES = 'k8s.io/kubernetes'

/** The folder with its go.mod. Sums are those of Go's checksum database. @throws Error where there is no such release */
export async function writeModule(release: string, go: typeof runGo): Promise<string> {
  if (!/^v1\.\d+\.\d+$/.test(release)) {
    throw new Error(`KUBERNETES_VERSION=${release}: a release is meant, as v1.35.4`)
  }
  const folder = mkdtempSync(join(tmpdir(), 'stoker-kubernetes-'))
  const known = await go(folder, 'mod', 'download', '-json', `${KUBERNETES}@${release}`)
  const { GoMod: file } = JSON.parse(known) as { GoMod: string }
  const own = readFileSync(file, 'utf8')
  // It requires its staging modules as v0.0.0; its release tags v1.35.4 of them as v0.35.4.
  const staged = [...own.matchAll(/^\s*(k8s\.io\/[\w-]+) => \.\/staging\//gm)].map(
    ([, name]) => name,
  )
  const module = [
    'module stoker/test/cluster',
    /^go .*$/m.exec(own)?.[0] ?? '',
    `require ${KUBERNETES} ${release}`,
    ...staged.map(name => `replace ${name} => ${name} ${release.replace('v1', 'v0')}`),
  ]
  writeFileSync(join(folder, 'go.mod'), `${module.join('\n')}\n`)
  return folder
}
