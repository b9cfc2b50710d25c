/** Keys and certificates that others than Stoker make, signed by an authority of theirs, by openssl. */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Under the names that KEDA's programs and cert-manager's Secrets have for them. */
export interface Files {
  folder: string
  ca: string
  cert: string
  key: string
}

export const filesIn = (folder: string): Files => ({
  folder,
  ca: join(folder, 'ca.crt'),
  cert: join(folder, 'tls.crt'),
  key: join(folder, 'tls.key'),
})

const openssl = (...words: string[]) => run('openssl', words, { timeout: 30_000 })
const newKey = ['-newkey', 'rsa:2048', '-nodes', '-sha256', '-days', '2']

/** A certificate for servers and clients by this name, in a folder of its own, with that of its authority. */
export async function sign(
  authority: Files,
  folder: string,
  name: string,
  more: readonly string[] = [],
): Promise<Files> {
  await mkdir(folder, { recursive: true })
  const files = filesIn(folder)
  const request = join(folder, 'request')
  await openssl(
    'req',
    '-new',
    ...newKey,
    '-subj',
    `/CN=${name}`,
    '-keyout',
    files.key,
    '-out',
    request,
  )
  const extensions = join(folder, 'extensions')
  const names = [name, ...more].map(each => (/^[\d.]+$/.test(each) ? `IP:${each}` : `DNS:${each}`))
  await writeFile(
    extensions,
    `extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=${names.join(',')}\n`,
  )
  const by = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-days', '2']
  await openssl('x509', '-req', '-in', request, ...by, '-extfile', extensions, '-out', files.cert)
  await run('cp', [authority.cert, files.ca])
  return files
}

export async function createAuthority(folder: string): Promise<Files> {
  await mkdir(folder, { recursive: true })
  const files = filesIn(folder)
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-subj',
    '/CN=test',
    '-keyout',
    files.key,
    '-out',
    files.cert,
  )
  return files
}
