/** The metrics page of a dcgm-exporter. */
import type { Clock } from '../clock.ts'
import { StokerError } from '../errors.ts'
import { Wire, within, type Faults } from './wire.ts'

export interface Dcgm {
  /** The address of its page, for messages. */
  url: string
  /** Throws DCGM_UNREADABLE. */
  page(): Promise<string>
  close(): Promise<void>
}

const TIMEOUT_MS = 5_000
/** A hundred times what eight GPUs with seven slices each take. */
const MAX_BYTES = 4 * 1_048_576

const faults: Faults = {
  unreachable: 'DCGM_UNREADABLE',
  timeout: 'DCGM_UNREADABLE',
  tls: 'DCGM_UNREADABLE',
  tooLarge: 'DCGM_UNREADABLE',
  notHttp: 'DCGM_UNREADABLE',
}

export function createDcgm(options: { base: URL; caFile: string | undefined; clock: Clock }): Dcgm {
  const { base, caFile, clock } = options
  const connectMs = TIMEOUT_MS
  const wire = new Wire({ base, faults, caFile, connectMs, maxBytes: MAX_BYTES, connections: 1 })
  const url = wire.url('/metrics')
  return {
    url,
    async page() {
      const limit = { clock, ms: TIMEOUT_MS, asked: `GET ${url}`, code: faults.timeout }
      const { status, body } = await within(limit, signal =>
        wire.call({ method: 'GET', path: '/metrics', signal }),
      )
      if (status === 200) return body
      throw new StokerError('DCGM_UNREADABLE', `GET ${url} answered ${status}`)
    },
    close: () => wire.close(),
  }
}
