/** `POST /drain`: waits until TorchServe has answered what it was asked, so that its pod can go. Made for a preStop hook. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type { DrainRequest } from '../model.ts'
import type { Tick } from './tick.ts'

/** A pod that is still there so long after its drain has ended stays: only its container was restarted, or the hook failed. */
const FORGOTTEN_MS = 30_000
const HEADER = 'stoker-drain'
const loopback: ReadonlySet<string | undefined> = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1'])
const ownNames: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]'])

interface Answer {
  drained: boolean
  because: string
  tookMs: number
}

/** A drain that has begun, and all who wait for its end. */
interface Running {
  sinceMs: number
  answer: Promise<Answer>
  end(drained: boolean): void
  because: string
}

export interface Drain {
  request: () => DrainRequest | undefined
  record(tick: Tick): void
}

/** `longestMs`: the answer comes after this at the latest, and says then what was left. */
export function createDrain(
  app: FastifyInstance,
  { longestMs, clock }: { longestMs: number; clock: Clock },
): Drain {
  let running: Running | undefined
  let asked: DrainRequest | undefined
  const request = () => (asked && clock.now() < asked.untilMs ? asked : undefined)

  function begin(): Running {
    const sinceMs = clock.now()
    const ended = new AbortController()
    const { promise: answer, resolve } = Promise.withResolvers<Answer>()
    const one: Running = {
      sinceMs,
      answer,
      because: 'The loop has not run since',
      end(drained) {
        if (running !== one) return
        running = undefined
        ended.abort()
        const nowMs = clock.now()
        asked = { sinceMs, untilMs: nowMs + FORGOTTEN_MS }
        resolve({ drained, because: one.because, tookMs: Math.round(nowMs - sinceMs) })
      },
    }
    asked = { sinceMs, untilMs: sinceMs + longestMs + FORGOTTEN_MS }
    running = one
    void clock.sleep(longestMs, ended.signal).then(() => one.end(false))
    return one
  }

  app.post('/drain', async (ask, reply) => {
    const refusal = refuse(ask)
    if (refusal !== undefined)
      return reply.code(403).send({ error: { code: 'DRAIN_REFUSED', message: refusal } })
    // Longer than a connection may otherwise be silent.
    ask.raw.socket.setTimeout(0)
    const one = running ?? begin()
    return one.answer
  })
  app.addHook('preClose', async () => running?.end(false))
  return {
    request,
    record({ drain }) {
      if (!running || drain?.request.sinceMs !== running.sinceMs) return
      running.because = drain.because
      if (drain.done) running.end(true)
    },
  }
}

/**
 * Only a process of this pod may, and no browser that comes through a port-forward, which arrives by loopback, too: a page of
 * another site cannot set the header, and one whose name was pointed here has a name of its own.
 */
function refuse({ headers, raw: { socket } }: FastifyRequest): string | undefined {
  if (!loopback.has(socket.remoteAddress) || !loopback.has(socket.localAddress))
    return `Only 127.0.0.1 may ask for a drain, from within the pod; this came from ${socket.remoteAddress}.`
  const host = (headers.host ?? '').replace(/:\d+$/, '')
  if (!ownNames.has(host)) return `The header Host must be 127.0.0.1 or localhost.`
  if (headers[HEADER] === undefined) return `The header ${HEADER} is missing.`
  return undefined
}
