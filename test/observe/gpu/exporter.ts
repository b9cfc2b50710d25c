/** A dcgm-exporter: a real HTTP server with the rows that a test gives it. */
import { createServer } from 'node:http'
import type { Test } from 'tap'
import { createDcgm } from '../../../src/clients/dcgm.ts'
import { dcgmFinder } from '../../../src/observe/gpu/dcgm.ts'
import { movable, watching } from './rig.ts'

export const own = { container: 'torchserve', namespace: 'models', pod: 'serve-7d9f' }
export const other = { container: 'train', namespace: 'models', pod: 'train-0' }
export const card = {
  gpu: '0',
  UUID: 'GPU-1',
  device: 'nvidia0',
  modelName: 'NVIDIA A100',
  Hostname: 'n1',
}
export const slice = { ...card, GPU_I_PROFILE: '1g.10gb', GPU_I_ID: '9' }

export const line = (name: string, labels: Record<string, string>, value: number | string) =>
  `DCGM_FI_${name}{${Object.entries(labels)
    .map(([key, text]) => `${key}="${text}"`)
    .join(',')}} ${value}`
export const memory = (
  labels: Record<string, string>,
  used: number | string,
  free: number | string,
  reserved = 0,
) => [
  line('DEV_FB_USED', labels, used),
  line('DEV_FB_FREE', labels, free),
  line('DEV_FB_RESERVED', labels, reserved),
]

export async function dcgm(
  t: Test,
  lines: readonly string[],
  settings: Parameters<typeof watching>[3] = {},
) {
  const served = { lines, status: 200 }
  const server = createServer((_, reply) => {
    reply.writeHead(served.status, { 'content-type': 'text/plain' })
    reply.end(`# HELP DCGM_FI_DEV_FB_USED x\n${served.lines.join('\n')}\n`)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { clock, time } = movable()
  const client = createDcgm({ base: new URL(`http://127.0.0.1:${port}`), caFile: undefined, clock })
  return { ...(await watching(t, [dcgmFinder(client, own, clock)], clock, settings)), served, time }
}
