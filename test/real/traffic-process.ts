/** The load generator's own process, forked by traffic.ts: arguments in argv[2], orders and the report as messages. */
import { Agent, request, type Dispatcher } from 'undici'
import { exponential, random } from '../../src/simulate/random.ts'
import type { Order, Sent, TrafficOptions } from './traffic.ts'

const options: TrafficOptions = JSON.parse(process.argv[2] ?? '{}')
const timeoutMs = options.timeoutMs ?? 10_000
const draw = random(options.seed)
const agent = new Agent({
  pipelining: 1,
  connectTimeout: timeoutMs,
  headersTimeout: 0,
  bodyTimeout: 0,
  keepAliveTimeout: 60_000,
})
const requests: Sent[] = []
const underWay = new Set<Promise<void>>()
let rps = options.rps
let due = performance.now() + gap()
let timer = setTimeout(sendDue)

/** Sends everything whose time has come: an arrival never waits for an answer, only, if late, for this process. */
function sendDue() {
  while (due <= performance.now()) {
    const sending = send(due).finally(() => underWay.delete(sending))
    underWay.add(sending)
    due += gap()
  }
  if (due < Infinity) timer = setTimeout(sendDue, Math.max(0, due - performance.now()))
}

function gap(): number {
  return rps > 0 ? (exponential(draw) / rps) * 1000 : Infinity
}

async function send(dueAt: number): Promise<void> {
  const id = `r${options.seed}-${requests.length}`
  const at = performance.now()
  const { timeOrigin } = performance
  const sent: Sent = {
    id,
    dueMs: timeOrigin + dueAt,
    sentMs: timeOrigin + at,
    latencyMs: 0,
    outcome: 'hung',
  }
  requests.push(sent)
  const headers = { 'content-type': 'application/octet-stream', ...options.headers }
  const call: Omit<Dispatcher.RequestOptions, 'origin' | 'path'> = {
    method: 'POST',
    headers,
    body: id,
  }
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const reply = await request(options.url, { ...call, dispatcher: agent, signal })
    await reply.body.dump()
    sent.outcome = reply.statusCode
  } catch (error) {
    sent.outcome = outcomeOf(error)
  }
  sent.latencyMs = performance.now() - at
}

function outcomeOf(error: unknown): Sent['outcome'] {
  if (error instanceof Error && error.name === 'TimeoutError') return 'hung'
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'hung'
  return code === 'ECONNREFUSED' ? 'refused' : 'reset'
}

process.on('message', (order: Order) => {
  clearTimeout(timer)
  rps = order.kind === 'rate' ? order.rps : 0
  due = performance.now() + gap()
  sendDue()
  if (order.kind === 'stop') void report()
})
process.on('disconnect', () => process.exit())

async function report() {
  await Promise.all(underWay)
  process.send?.(requests, () => process.disconnect())
}
