/** The command line of `stoker webhook`. */
import { isIP } from 'node:net'
import { usualLives } from './renewal.ts'
import type { Certificates, WebhookParts } from './webhook.ts'

export const webhookFlags = {
  strict: { type: 'boolean', default: false },
  host: { type: 'string', default: '0.0.0.0' },
  port: { type: 'string', default: '10250' },
  'health-port': { type: 'string', default: '9790' },
  'tls-folder': { type: 'string' },
  namespace: { type: 'string' },
  secret: { type: 'string' },
  configuration: { type: 'string' },
  'dns-name': { type: 'string', multiple: true },
} as const

interface Flags {
  strict: boolean
  host: string
  port: string
  'health-port': string
  'tls-folder'?: string | undefined
  namespace?: string | undefined
  secret?: string | undefined
  configuration?: string | undefined
  'dns-name'?: string[] | undefined
}

type Read = Pick<WebhookParts, 'strict' | 'host' | 'port' | 'healthPort' | 'certificates'>

const AUTHORITY_PASS_MS = 60_000
const FILES_PASS_MS = 10_000

/** Each problem names the flag, its value and what is allowed. */
export function readWebhookFlags(flags: Flags): Read | { problems: readonly string[] } {
  const { strict, host, port, 'health-port': health } = flags
  const problems: string[] = []
  if (isIP(host) === 0) problems.push(`--host ${host} must be an IP address`)
  for (const [name, value] of Object.entries({ port, 'health-port': health })) {
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535)
      problems.push(`--${name} ${value} must be a whole number from 0 to 65535`)
  }
  const certificates = certificatesBy(flags)
  if (typeof certificates === 'string') problems.push(certificates)
  if (problems.length > 0 || typeof certificates === 'string') return { problems }
  return { strict, host, port: Number(port), healthPort: Number(health), certificates }
}

function certificatesBy(flags: Flags): Certificates | string {
  const { namespace, secret, configuration, 'dns-name': hosts = [], 'tls-folder': folder } = flags
  if (folder !== undefined) return { kind: 'files', passMs: FILES_PASS_MS, folder }
  if (!namespace || !secret || !configuration || hosts.length === 0) {
    return '--namespace, --secret, --configuration and at least one --dns-name must be given, or --tls-folder'
  }
  const names = { namespace, secret, configuration }
  return { kind: 'own', passMs: AUTHORITY_PASS_MS, names, hosts, lives: usualLives }
}
