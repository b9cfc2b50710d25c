/** Recorded requests and replies of real servers, kept in test/captures. */
import { readFileSync } from 'node:fs'

export interface Capture {
  request: { method: string; path: string; contentType: string | null; body: unknown }
  status: number
  response: unknown
}

/** An exchange with a real API server, as `apiserver/11-strategic-raise`. */
export function capture(name: string): Capture {
  return JSON.parse(readFileSync(new URL(`captures/${name}.json`, import.meta.url), 'utf8'))
}
