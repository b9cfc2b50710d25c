/**
 * A TorchServe 0.12.0 to test against, kept in a cache folder outside the source tree.
 *
 * Two flavours: `stub` has a one-line `torch` (98 MB, handlers that do not use PyTorch run on it), `torch` sees Debian's
 * PyTorch 1.13 (package python3-torch). Nothing is ever half installed: the environment is built under a name of its
 * own and becomes visible by one symbolic link when it is complete; a killed installation leaves a folder that the next
 * one removes. System packages are never installed from here, only named.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readlink, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { MissingTool } from './missing.ts'

const run = promisify(execFile)

const TORCHSERVE = '0.12.0'
const RECIPE = 1
const PIP_TIMEOUT_MS = 300_000
const QUERY_TIMEOUT_MS = 30_000

export type Flavour = 'stub' | 'torch'

export interface Installation {
  flavour: Flavour
  /** The python of the environment, with `ts` in it. */
  python: string
  /** The folder of the java to put on PATH. */
  javaFolder: string
}

/** Finds or makes the installation. Throws MissingTool, or Error with pip's last words. */
export async function install(flavour: Flavour): Promise<Installation> {
  const javaFolder = await findJava()
  const base = flavour === 'stub' ? await findPython() : await findTorchPython()
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'stoker')
  const name = `torchserve-${TORCHSERVE}-py${base.version}-${flavour}-${RECIPE}`
  const link = join(cache, name)
  if (!existsSync(link)) await build(base.path, cache, name, flavour)
  return { flavour, python: join(await realpath(link), 'bin', 'python'), javaFolder }
}

async function build(python: string, cache: string, name: string, flavour: Flavour) {
  await mkdir(cache, { recursive: true })
  await removeAbandoned(cache, name)
  const folder = join(cache, `${name}.${process.pid}`)
  await rm(folder, { recursive: true, force: true })
  const venv = ['-m', 'venv', ...(flavour === 'torch' ? ['--system-site-packages'] : []), folder]
  try {
    await run(python, venv, { timeout: QUERY_TIMEOUT_MS * 2 })
  } catch (cause) {
    throw new MissingTool(
      `${python} cannot make a virtual environment; on Debian: apt-get install python3-venv`,
      {
        cause,
      },
    )
  }
  const inside = join(folder, 'bin', 'python')
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--quiet']
  await run(inside, [...pip, `torchserve==${TORCHSERVE}`, 'pyyaml'], { timeout: PIP_TIMEOUT_MS })
  if (flavour === 'stub') await stubTorch(inside)
  await run(inside, ['-c', 'import yaml, torch, ts.service'], { timeout: QUERY_TIMEOUT_MS })
  try {
    await symlink(folder, join(cache, name))
  } catch (error) {
    // Another run finished the same installation first: its is as good.
    if (!isCode(error, 'EEXIST')) throw error
    await rm(folder, { recursive: true })
  }
}

/** TorchServe's worker only asks whether a reply is a `torch.Tensor`. */
async function stubTorch(python: string) {
  const { stdout } = await run(
    python,
    ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'],
    {
      timeout: QUERY_TIMEOUT_MS,
    },
  )
  const folder = join(stdout.trim(), 'torch')
  await mkdir(folder)
  await writeFile(join(folder, '__init__.py'), 'class Tensor: pass\n')
}

/** Removes what installations that were killed have left, told by the process id in the name; and a link to nothing. */
async function removeAbandoned(cache: string, name: string) {
  const link = join(cache, name)
  const target = await readlink(link).catch(() => undefined)
  if (target !== undefined && !existsSync(target)) await rm(link)
  for (const entry of await readdir(cache)) {
    const owner = entry.startsWith(`${name}.`) ? Number(entry.slice(name.length + 1)) : Number.NaN
    const inUse = join(cache, entry) === target || existsSync(`/proc/${owner}`)
    if (!Number.isInteger(owner) || inUse) continue
    await rm(join(cache, entry), { recursive: true, force: true })
  }
}

async function findPython() {
  const version = await pythonVersion('python3')
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
  if (version === undefined || major !== 3 || minor < 8)
    throw new MissingTool(
      `python3 3.8 or later is needed, found ${version ?? 'none'}; on Debian: apt-get install python3 python3-venv`,
    )
  return { path: 'python3', version }
}

/** Debian's own python, the only one that sees Debian's PyTorch. */
async function findTorchPython() {
  const path = '/usr/bin/python3'
  const version = await pythonVersion(path)
  const torch = await run(path, ['-c', 'import torch'], { timeout: QUERY_TIMEOUT_MS }).catch(
    () => undefined,
  )
  if (version === undefined || torch === undefined)
    throw new MissingTool(
      `${path} has no PyTorch; on Debian: apt-get install python3-venv python3-torch`,
    )
  return { path, version }
}

async function pythonVersion(python: string): Promise<string | undefined> {
  const print = 'import sys; print("%d.%d" % sys.version_info[:2])'
  const result = await run(python, ['-c', print], { timeout: QUERY_TIMEOUT_MS }).catch(
    () => undefined,
  )
  return result?.stdout.trim()
}

async function findJava(): Promise<string> {
  const home = process.env['JAVA_HOME']
  const folders = home ? [join(home, 'bin')] : (process.env['PATH'] ?? '').split(':')
  const folder = folders.find(candidate => existsSync(join(candidate, 'java')))
  const found =
    folder && (await run(join(folder, 'java'), ['-version'], { timeout: QUERY_TIMEOUT_MS }))
  const version = found ? /version "(\d+)/.exec(found.stderr)?.[1] : undefined
  if (folder === undefined || Number(version ?? 0) < 17)
    throw new MissingTool(
      `java 17 or later is needed, found ${version ?? 'none'}; on Debian: apt-get install openjdk-17-jre-headless`,
    )
  return folder
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
