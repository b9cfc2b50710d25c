/** Events on the controllers whose pods were injected or refused: off the reply's path, few, and lost rather than late. */
import type { Clock } from '../clock.ts'
import type { Answer, Owner } from './review.ts'

export interface Event {
  owner: Owner
  type: 'Normal' | 'Warning'
  /** One word, as `kubectl get events` shows it. */
  reason: 'StokerInjected' | 'StokerRefused'
  message: string
  atMs: number
}

/** The same of the same owner is told again after this time. */
const SILENCE_MS = 10 * 60_000
const MOST_REMEMBERED = 1_000
const MOST_WAITING = 100

export interface Announcer {
  /** Returns at once. */
  announce(answer: Answer): void
  /** Resolves when nothing is waiting any more. */
  settled(): Promise<void>
}

/** `post` sends one; what it rejects with goes to `onError`. */
export function createAnnouncer(
  post: (event: Event) => Promise<void>,
  clock: Clock,
  onError: (error: unknown) => void,
): Announcer {
  const told = new Map<string, number>()
  const waiting: Event[] = []
  let sending: Promise<void> | undefined

  function isNew(key: string): boolean {
    const nowMs = clock.now()
    if (nowMs - (told.get(key) ?? -Infinity) < SILENCE_MS) return false
    told.delete(key)
    told.set(key, nowMs)
    const [oldest] = told.keys()
    if (told.size > MOST_REMEMBERED && oldest !== undefined) told.delete(oldest)
    return true
  }
  async function send(): Promise<void> {
    for (let event = waiting.shift(); event; event = waiting.shift()) {
      try {
        await post(event)
      } catch (error) {
        onError(error)
      }
    }
    sending = undefined
  }

  return {
    announce({ outcome, reasons, owner }) {
      if (!owner || (outcome !== 'injected' && outcome !== 'refused')) return
      const [{ code }] = reasons
      if (waiting.length >= MOST_WAITING || !isNew(`${owner.uid} ${code}`)) return
      const injected = outcome === 'injected'
      waiting.push({
        owner,
        type: injected ? 'Normal' : 'Warning',
        reason: injected ? 'StokerInjected' : 'StokerRefused',
        message: reasons.map(reason => reason.message).join('; '),
        atMs: clock.now(),
      })
      sending ??= send()
    },
    async settled() {
      await sending
    },
  }
}
