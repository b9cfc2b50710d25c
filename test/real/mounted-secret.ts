/** A Secret as the kubelet mounts it, where no kubelet runs: what is in it changes all at once, by a link's exchange. */
import { existsSync, mkdtempSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from './cluster/client.ts'

/** Brings the folder up to date. */
export async function mountSecret(
  admin: Client,
  { namespace, name }: { namespace: string; name: string },
  folder: string,
): Promise<void> {
  const { data = {} } = (await admin.ok(
    'GET',
    `/api/v1/namespaces/${namespace}/secrets/${name}`,
  )) as { data?: Record<string, string> }
  const version = mkdtempSync(join(folder, '..version-'))
  for (const [file, text] of Object.entries(data))
    writeFileSync(join(version, file), Buffer.from(text, 'base64'))
  const link = join(folder, '..data_tmp')
  symlinkSync(version, link)
  renameSync(link, join(folder, '..data'))
  for (const file of Object.keys(data))
    if (!existsSync(join(folder, file))) symlinkSync(join('..data', file), join(folder, file))
}
