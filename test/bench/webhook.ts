/**
 * `npm run bench -- webhook [factor]`: reviews per second and their latency at 100 in flight on one HTTP/2 connection, as the API
 * server calls, beside a bare fastify route that answers with a constant. In turns, three times; with factor 1 for 10 s each.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { join } from 'node:path'

const IN_FLIGHT = 100
const MEASURED_MS = 10_000
const WARM_UP_MS = 3_000
const ROUNDS = 3

interface Servers {
  ca: string
  reviews: string
  bare: string
}

export async function webhook(factor: number): Promise<void> {
  const child = fork(join(import.meta.dirname, 'webhook-process.ts'))
  const [servers] = (await once(child, 'message')) as [Servers]
  // A pod that a Deployment's ReplicaSet creates, as the API server sent it.
  const file = 'test/captures/admission/530-admissionreview-pod-create-h1.json'
  const { body } = JSON.parse(readFileSync(file, 'utf8'))
  body.request.object.spec.containers[0].image = 'pytorch/torchserve:0.12.0-cpu'
  const text = JSON.stringify(body)
  for (const which of ['reviews', 'bare'] as const) await load(servers, which, text, WARM_UP_MS)
  const results: object[] = []
  for (let round = 0; round < ROUNDS; round += 1)
    for (const which of ['reviews', 'bare'] as const)
      results.push({
        which,
        bytes: text.length,
        ...(await load(servers, which, text, MEASURED_MS * factor)),
      })
  console.table(results)
  child.disconnect()
}

/** Keeps as many calls in flight; latencies are milliseconds. */
async function load({ ca, ...urls }: Servers, which: 'reviews' | 'bare', body: string, ms: number) {
  const session = connect(urls[which], { ca })
  const latencies: number[] = []
  const endMs = performance.now() + ms
  let failed = 0
  const lane = async () => {
    while (performance.now() < endMs) {
      const startedMs = performance.now()
      const stream = session.request({
        ':method': 'POST',
        ':path': '/inject',
        'content-type': 'application/json',
      })
      stream.end(body)
      let status = 0
      stream.once('response', headers => (status = headers[':status'] ?? 0))
      stream.resume()
      await once(stream, 'end')
      if (status !== 200) failed += 1
      latencies.push(performance.now() - startedMs)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  session.close()
  latencies.sort((one, other) => one - other)
  const at = (share: number) =>
    Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1))
  return {
    perSecond: Math.round((latencies.length * 1000) / ms),
    p50: at(0.5),
    p99: at(0.99),
    failed,
  }
}
