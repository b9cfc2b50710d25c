/** What can be made to go wrong on the way to the API server. */
import type { Clock } from '../../clock.ts'
import type { Request } from './api.ts'
import type { Response } from './status.ts'

/** What a connection gets: an answer, none for ever, or its end. */
export type Answer = Response | 'silence' | 'reset'

export type Fault =
  | { kind: 'reply'; response: Response }
  | { kind: 'delay'; ms: number }
  /** The answer does not arrive; the write was made or not. */
  | { kind: 'lost'; applied: boolean; how: 'silence' | 'reset' }

/** `changes`: patches that name containers. */
export type Which = 'all' | 'changes'

export class Faults {
  #planned: { fault: Fault; which: Which; left: number }[] = []

  /** For the next `times` requests. */
  plan(fault: Fault, { times = 1, which = 'all' }: { times?: number; which?: Which } = {}): void {
    this.#planned.push({ fault, which, left: times })
  }

  clear(): void {
    this.#planned = []
  }

  /** What becomes of a request that `answer` would answer. */
  async pass(
    request: Request,
    clock: Clock,
    answer: () => Response | Promise<Response>,
  ): Promise<Answer> {
    const fault = this.#next(request)
    if (fault?.kind === 'delay') await clock.sleep(fault.ms)
    if (fault?.kind === 'reply') return fault.response
    if (fault?.kind !== 'lost') return answer()
    if (fault.applied) await answer()
    return fault.how
  }

  #next({ body }: Request): Fault | undefined {
    const plan = this.#planned.find(({ which }) => which === 'all' || body.includes('"containers"'))
    if (!plan) return undefined
    plan.left--
    this.#planned = this.#planned.filter(({ left }) => left > 0)
    return plan.fault
  }
}
