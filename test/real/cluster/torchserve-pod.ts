/**
 * The harness's TorchServe as a container of a pod: the same installation, models and handlers as ../torchserve.ts, its programs mounted
 * read-only from this machine into an image with nothing in it.
 */
import { execFile } from 'node:child_process'
import { chownSync, globSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { writeSettings } from '../configuration.ts'
import { install, type Installation } from '../install.ts'
import { changeBehaviour, readModelLog, writeModel } from '../models.ts'
import type { Behaviour, ModelLog, ModelSpec } from '../models.ts'
import { serverCommand } from '../torchserve.ts'

/** Not root, as in TorchServe's own image. */
export const USER = 1000
/** What buildEmpty() was asked to call it. */
export const EMPTY_IMAGE = 'stoker.local/empty:1'

const PORTS = { inference: 8080, management: 8081, metrics: 8082 }

export interface TorchServeContainer {
  container: { name: 'torchserve'; [field: string]: unknown }
  volumes: object[]
  behave(model: string, change: Partial<Behaviour>): void
  log(model: string): ModelLog
}

/** The folder holds models and logs; it is shared with the container. Inference listens on every address of the pod, the rest on loopback. */
export async function torchServeContainer(
  folder: string,
  models: readonly ModelSpec[],
): Promise<TorchServeContainer> {
  const installation = await install('stub')
  for (const name of ['store', 'tmp']) mkdirSync(join(folder, name), { recursive: true })
  const stored: string[] = []
  for (const spec of models) stored.push(await writeModel(folder, spec, installation))
  const at = (host: string, port: number) => new URL(`http://${host}:${port}`)
  writeSettings(folder, {
    inference: at('0.0.0.0', PORTS.inference),
    management: at('127.0.0.1', PORTS.management),
    metrics: at('127.0.0.1', PORTS.metrics),
  })
  giveAway(folder)
  const programs = await programFolders(installation)
  const mounts = [
    { path: folder, readOnly: false },
    ...programs.map(path => ({ path, readOnly: true })),
  ].map((mount, index) => ({ ...mount, name: `machine-${index}` }))
  const python = dirname(installation.python)
  const java = dirname(realpathSync(join(installation.javaFolder, 'java')))
  const env = {
    PATH: `${python}:${java}:/usr/bin:/bin`,
    HOME: join(folder, 'tmp'),
    TEMP: join(folder, 'tmp'),
    TMPDIR: join(folder, 'tmp'),
    STOKER_TEST_FOLDER: folder,
  }
  return {
    container: {
      name: 'torchserve',
      image: EMPTY_IMAGE,
      imagePullPolicy: 'Never',
      workingDir: folder,
      command: [installation.python, ...serverCommand(folder, {}, stored)],
      env: Object.entries(env).map(([name, value]) => ({ name, value })),
      securityContext: { runAsUser: USER },
      volumeMounts: [
        ...mounts.map(({ name, path, readOnly }) => ({ name, mountPath: path, readOnly })),
        // Its workers' sockets, which not every shared file system can hold.
        { name: 'tmp', mountPath: join(folder, 'tmp') },
      ],
    },
    volumes: [
      ...mounts.map(({ name, path }) => ({ name, hostPath: { path, type: 'Directory' } })),
      { name: 'tmp', emptyDir: {} },
    ],
    behave: (model, change) => changeBehaviour(folder, model, change),
    log: model => readModelLog(folder, model),
  }
}

function giveAway(folder: string) {
  for (const entry of [folder, ...readdirSync(folder, { recursive: true, encoding: 'utf8' })])
    chownSync(entry === folder ? folder : join(folder, entry), USER, USER)
}

/** What python and java are made of on this machine, and the harness's own files. */
async function programFolders({ python, javaFolder }: Installation): Promise<string[]> {
  const code = 'import sys; print(sys.base_prefix)'
  const { stdout } = await promisify(execFile)(python, ['-c', code], { timeout: 30_000 })
  const java = join(dirname(realpathSync(join(javaFolder, 'java'))), '..')
  const folders = [dirname(dirname(python)), stdout.trim(), java].filter(
    folder => !folder.startsWith('/usr/'),
  )
  // Debian's Java has its configuration there.
  const configured = globSync(['/etc/alternatives', '/etc/java-*'])
  return ['/usr', ...folders, ...configured, join(import.meta.dirname, '..')]
}
