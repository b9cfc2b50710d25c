import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface Tunnel {
  /** On 127.0.0.1. */
  port: number
  close(): void
}

/** A command for this machine that has the network of a process. */
export const inNetworkOf = (pid: number, command: readonly string[]) => [
  'nsenter',
  `--net=/proc/${pid}/ns/net`,
  ...command,
]

/** A port on the machine's loopback that leads to an address inside the network namespace of a process. */
export async function openTunnel(pid: number, address: string, port: number): Promise<Tunnel> {
  // A socket belongs to the namespace it was made in; the process that it is handed to lives in the other one.
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port: outside } = server.address() as AddressInfo
  const program = join(import.meta.dirname, 'tunnel-process.ts')
  const [execPath = '', ...execArgv] = inNetworkOf(pid, [process.execPath])
  const child = fork(program, [address, String(port)], { execPath, execArgv })
  const ready = once(child, 'message')
  child.send('server', server)
  await ready
  server.close()
  child.unref()
  child.channel?.unref()
  return { port: outside, close: () => child.kill('SIGKILL') }
}
