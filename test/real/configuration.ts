/** TorchServe's configuration for a test, on free ports where the network is shared with others, and a certificate when asked for. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Installation } from './install.ts'
import { freePorts } from './ports.ts'

type Settings = Readonly<Record<string, string | number | boolean>>

interface Addressing {
  config?: Settings
  tls?: boolean
}

interface Addresses {
  inference: URL
  management: URL
  metrics: URL
}

/** Writes config.properties for free ports; returns the inference, management and metrics addresses. */
export async function writeConfig(folder: string, options: Addressing): Promise<[URL, URL, URL]> {
  const [a = 0, b = 0, c = 0, grpcInference = 0, grpcManagement = 0] = await freePorts(5)
  const scheme = options.tls ? 'https' : 'http'
  const url = (port: number) => new URL(`${scheme}://127.0.0.1:${port}`)
  const addresses = { inference: url(a), management: url(b), metrics: url(c) }
  writeSettings(folder, addresses, {
    grpc_inference_port: grpcInference,
    grpc_management_port: grpcManagement,
    ...(options.tls && {
      keystore: join(folder, 'keystore.p12'),
      keystore_pass: 'changeit',
      keystore_type: 'PKCS12',
    }),
    ...options.config,
  })
  return [addresses.inference, addresses.management, addresses.metrics]
}

/** Writes config.properties. */
export function writeSettings(
  folder: string,
  { inference, management, metrics }: Addresses,
  more: Settings = {},
): void {
  const settings = {
    inference_address: inference.origin,
    management_address: management.origin,
    metrics_address: metrics.origin,
    metrics_mode: 'prometheus',
    metric_time_interval: 5,
    ...more,
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(folder, 'config.properties'), lines.join(''))
}

/** Makes a key store for 127.0.0.1 with Java's own tool; returns the PEM file to trust. */
export async function makeCertificate(
  folder: string,
  { javaFolder }: Installation,
): Promise<string> {
  const caFile = join(folder, 'ca.pem')
  const store = [
    '-keystore',
    join(folder, 'keystore.p12'),
    '-storepass',
    'changeit',
    '-alias',
    'ts',
  ]
  const subject = ['-dname', 'CN=TorchServe', '-ext', 'SAN=IP:127.0.0.1', '-validity', '30']
  const keytool = async (...words: string[]) => {
    await promisify(execFile)(join(javaFolder, 'keytool'), [...words, ...store], {
      timeout: 30_000,
    })
  }
  await keytool('-genkeypair', '-keyalg', 'RSA', '-storetype', 'PKCS12', ...subject)
  await keytool('-exportcert', '-rfc', '-file', caFile)
  return caFile
}
