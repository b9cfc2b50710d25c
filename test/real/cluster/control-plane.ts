/** The control plane of the tests: etcd and a kube-apiserver. No controllers and no scheduler run. */
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { program } from './build.ts'

import { NODE } from './names.ts'

export interface Tokens {
  admin: string
  /** Of the kubelet: `system:node:node1`. */
  node: string
}

interface Place {
  /** For data, keys and the etcd socket; must exist. */
  folder: string
  host: string
  port: number
  /** More flags of the API server. */
  more?: readonly string[]
}

/** Writes keys and tokens into the folder. */
export function writeCredentials(folder: string): Tokens {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  writeFileSync(join(folder, 'service-accounts.key'), privateKey, { mode: 0o600 })
  const tokens = { admin: randomUUID(), node: randomUUID() }
  const lines = [
    `${tokens.admin},admin,admin,system:masters`,
    `${tokens.node},system:node:${NODE},${NODE},system:nodes`,
  ]
  writeFileSync(join(folder, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 })
  return tokens
}

/** The file that holds the server's certificate and its CA, made by the server at its start for 127.0.0.1 and the first service address. */
export const caFile = (folder: string) => join(folder, 'certificates', 'apiserver.crt')

/** A command that runs both in one process group. */
export async function controlPlane({ folder, host, port, more = [] }: Place): Promise<string[]> {
  const socket = `unix://${join(folder, 'etcd.sock')}`
  // Nobody connects to these: there is one member, and the API server is given the socket. They must have a port.
  const nowhere = 'http://127.0.0.1:1'
  const etcd = [
    await program('etcd'),
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${socket}`,
    `--listen-peer-urls=unix://${join(folder, 'peers.sock')}`,
    `--advertise-client-urls=${nowhere}`,
    `--initial-advertise-peer-urls=${nowhere}`,
    `--initial-cluster=default=${nowhere}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ]
  const key = join(folder, 'service-accounts.key')
  const apiserver = [
    await program('kube-apiserver'),
    `--etcd-servers=${socket}`,
    `--bind-address=${host}`,
    `--secure-port=${port}`,
    // One address is always in the certificate the server makes for itself: this one.
    '--advertise-address=127.0.0.1',
    // Without it the server puts the advertised address into the Service "kubernetes", and refuses loopback.
    '--endpoint-reconciler-type=none',
    `--cert-dir=${join(folder, 'certificates')}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    // The kubelet may only touch itself and its pods, as in a real cluster.
    '--enable-admission-plugins=NodeRestriction',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--service-cluster-ip-range=10.0.0.0/24',
    '--profiling=false',
    ...more,
  ]
  return ['/bin/sh', '-c', `${quoted(etcd)} & exec ${quoted(apiserver)}`]
}

function quoted(words: readonly string[]): string {
  return words.map(word => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
}
