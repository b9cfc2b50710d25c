/** A way to a real API server on which answers get lost, late or wrong: TLS ends here, and requests are passed on. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { wallClock } from '../../src/clock.ts'
import { createAuthority, signLeaf } from '../../src/inject/certificates.ts'
import type { Request } from '../../src/simulate/kubernetes/api.ts'
import { Faults } from '../../src/simulate/kubernetes/faults.ts'
import { listen } from '../../src/simulate/kubernetes/http.ts'

interface Way {
  url: string
  /** PEM file to trust. */
  caFile: string
  faults: Faults
  close(): Promise<void>
}

const CERTIFIED_MS = 60 * 60_000

/** `folder`: for its certificate. @throws Error of node:net when it cannot listen */
export async function disturbedWay(
  to: { url: string; caFile: string },
  folder: string,
): Promise<Way> {
  const faults = new Faults()
  const dispatcher = new Agent({ connect: { ca: readFileSync(to.caFile) } })
  const passedOn = async ({ method, target, headers, body }: Request) => {
    const sent = Object.entries(headers).filter(([, value]) => value !== undefined)
    const reply = await request(new URL(target, to.url), {
      dispatcher,
      method: method as 'GET',
      headers: Object.fromEntries(sent),
      ...(body !== '' && { body }),
    })
    return { status: reply.statusCode, body: (await reply.body.json()) as object }
  }
  const authority = await createAuthority(Date.now(), CERTIFIED_MS)
  const leaf = await signLeaf(authority, ['127.0.0.1'], Date.now(), CERTIFIED_MS)
  const caFile = join(folder, 'disturbed.crt')
  writeFileSync(caFile, authority.cert)
  const handle = (asked: Request) => faults.pass(asked, wallClock, () => passedOn(asked))
  const server = await listen({ handle }, leaf, 0)
  const close = async () => {
    await server.close()
    await dispatcher.close()
  }
  return { url: `https://127.0.0.1:${server.port}`, caFile, faults, close }
}
