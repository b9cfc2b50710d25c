/** TorchServe's configuration for a test: five free ports on loopback, and a certificate when asked for. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Installation } from './install.ts'
import { freePorts } from './ports.ts'

interface Addressing {
  config?: Readonly<Record<string, string | number | boolean>>
  tls?: boolean
}

/** Writes config.properties; returns the inference, management and metrics addresses. */
export async function writeConfig(folder: string, options: Addressing): Promise<[URL, URL, URL]> {
  const [a = 0, b = 0, c = 0, grpcInference = 0, grpcManagement = 0] = await freePorts(5)
  const scheme = options.tls ? 'https' : 'http'
  const url = (port: number) => new URL(`${scheme}://127.0.0.1:${port}`)
  const config = {
    inference_address: url(a).origin,
    management_address: url(b).origin,
    metrics_address: url(c).origin,
    grpc_inference_port: grpcInference,
    grpc_management_port: grpcManagement,
    metrics_mode: 'prometheus',
    metric_time_interval: 5,
    ...(options.tls && {
      keystore: join(folder, 'keystore.p12'),
      keystore_pass: 'changeit',
      keystore_type: 'PKCS12',
    }),
    ...options.config,
  }
  const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(folder, 'config.properties'), lines.join(''))
  return [url(a), url(b), url(c)]
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
