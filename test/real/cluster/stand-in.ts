/**
 * A stand-in for the base image that the Dockerfile names, under the same name, where no registry of images can be asked: the Node that
 * runs the tests, this machine's npm, and the few programs that the Dockerfile's RUN lines use, with the libraries they are linked to.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, copyFile, mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { symlinkToUsr, type Builder } from './images.ts'

const run = promisify(execFile)

const PROGRAMS = 'bash sh env ldd grep cp mv rm mkdir chmod dpkg-query'.split(' ')
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
const PACKAGES = '/var/lib/dpkg/status'
const FILES = ['/etc/os-release', '/etc/debian_version', '/etc/passwd', CERTIFICATES, PACKAGES]

/** Builds the first base of the Dockerfile. Throws when it asks for another Node than the one that runs this. */
export async function buildStandIn(builder: Builder, dockerfile: string, folder: string) {
  const text = readFileSync(dockerfile, 'utf8')
  const base = /^ARG BASE=(\S+)$/m.exec(text)?.[1] ?? ''
  if (!base.startsWith(`node:${process.versions.node}-`))
    throw new Error(`${dockerfile} builds on ${base}, the tests run on ${process.versions.node}`)
  const root = join(folder, 'root')
  for (const place of ['bin', 'sbin', 'lib', 'lib64', 'local/bin', 'local/lib/node_modules'])
    await mkdir(join(root, 'usr', place), { recursive: true })
  await symlinkToUsr(root)
  await mkdir(join(root, 'tmp'))
  const local = join(root, 'usr', 'local')
  await copyFile(process.execPath, join(local, 'bin', 'node'))
  const npm = join(dirname(await which('npm')), '..')
  await cp(npm, join(local, 'lib', 'node_modules', 'npm'), { recursive: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin', 'npm'))
  const programs = await Promise.all(PROGRAMS.map(which))
  for (const [at, name] of PROGRAMS.entries())
    await copyFile(programs[at] ?? '', join(root, 'usr', 'bin', name))
  const libraries = await Promise.all([process.execPath, ...programs].map(librariesOf))
  for (const file of new Set([...FILES, ...libraries.flat()])) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await copyFile(file, join(root, file))
  }
  const lines = [
    'FROM scratch',
    'COPY root /',
    'ENV PATH=/usr/local/bin:/usr/bin',
    // npm trusts what this machine trusts.
    `ENV NODE_EXTRA_CA_CERTS=${CERTIFICATES}`,
  ]
  await writeFile(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`)
  await builder.build(base, folder)
}

async function which(name: string): Promise<string> {
  const { stdout } = await run('/bin/sh', ['-c', `command -v ${name}`])
  return realpath(stdout.trim())
}

/** What the program loader would load; nothing for a script. */
async function librariesOf(program: string): Promise<string[]> {
  const listed = await run('ldd', [program]).catch(() => undefined)
  return listed?.stdout.match(/\/\S+/g) ?? []
}
