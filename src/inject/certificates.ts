/** X.509: a certificate authority of our own, and the leaves it signs. P-256; cloud API servers refuse Ed25519. */
// tsyringe, which the library below is built on, wants it first.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata'
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
/** Clocks of nodes differ. */
const BACKDATED_MS = 5 * 60_000

/** A certificate with its key, both PEM; times are milliseconds since the epoch, to the second. */
export interface Pair {
  cert: string
  key: string
  /** When it was made, if by us: it says that it holds for somewhat longer. */
  madeMs: number
  untilMs: number
}

export async function createAuthority(nowMs: number, lifeMs: number): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity(nowMs, lifeMs),
    name: `CN=Stoker webhook CA ${new Date(nowMs).toISOString()}`,
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return pairOf(cert.toString('pem'), await exported(keys.privateKey))
}

/** A server certificate for the names, host names or IP addresses. It never outlives the authority. */
export async function signLeaf(
  authority: Pair,
  names: readonly string[],
  nowMs: number,
  lifeMs: number,
): Promise<Pair> {
  const issuer = new x509.X509Certificate(authority.cert)
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const der = createPrivateKey(authority.key).export({ format: 'der', type: 'pkcs8' })
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign'])
  const cert = await x509.X509CertificateGenerator.create({
    ...validity(nowMs, Math.min(lifeMs, authority.untilMs - nowMs)),
    subject: `CN=${names[0]?.slice(0, 64)}`,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map(value => ({ type: isIP(value) ? 'ip' : 'dns', value })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  })
  return pairOf(cert.toString('pem'), await exported(keys.privateKey))
}

const validity = (nowMs: number, lifeMs: number) => ({
  serialNumber: `01${randomBytes(15).toString('hex')}`,
  notBefore: new Date(nowMs - BACKDATED_MS),
  notAfter: new Date(nowMs + lifeMs),
})

async function exported(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString()
}

/** Throws where the two are not PEM, or do not belong together. */
export function pairOf(cert: string, key: string): Pair {
  const { validFrom, validTo, publicKey } = new X509Certificate(cert)
  const spki = { format: 'der', type: 'spki' } as const
  if (!createPublicKey(createPrivateKey(key)).export(spki).equals(publicKey.export(spki))) {
    throw new Error('the key does not belong to the certificate')
  }
  const madeMs = Date.parse(validFrom) + BACKDATED_MS
  return { cert: ended(cert), key: ended(key), madeMs, untilMs: Date.parse(validTo) }
}

const ended = (pem: string) => `${pem.trim()}\n`
