/** HTTP calls of the tests themselves, independent of the clients under test. Every call has a total timeout. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'undici'

export interface Reply {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  text: string
}

export interface CallOptions {
  method?: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'OPTIONS' | 'DELETE'
  body?: string
  headers?: Record<string, string>
  /** A PEM file to trust. */
  caFile?: string | undefined
  timeoutMs?: number
}

/** One call on a connection of its own. Rejects when there is no whole answer within `timeoutMs` (default 5 s). */
export async function call(url: string | URL, options: CallOptions = {}): Promise<Reply> {
  const { method = 'GET', body, headers = {}, caFile, timeoutMs = 5000 } = options
  const dispatcher = new Agent(caFile ? { connect: { ca: readFileSync(caFile) } } : {})
  try {
    const reply = await request(url, {
      method,
      dispatcher,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body !== undefined && { body }),
    })
    return { status: reply.statusCode, headers: reply.headers, text: await reply.body.text() }
  } finally {
    void dispatcher.destroy()
  }
}
