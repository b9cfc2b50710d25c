/** Who may hold how much of the container's memory: no worker starts without its own. */
import type { PoolKey } from '../model.ts'
import type { First } from './bound.ts'
import { inMib } from './words.ts'

const MIB = 2 ** 20
/** A share over what was seen, until more is known to be needed. */
export const MARGIN = 0.1
/** Bounds the search for the most that fit. */
const MOST_WORKERS = 1_000

export interface Account {
  key: PoolKey
  /** Bytes of one worker; undefined: not known. */
  cost: number | undefined
  /** Workers that are there, or were ordered. */
  workers: number
  /** What the pool has whatever the load: its minimum, or all of them where they are not scaled. */
  kept: number
}

export interface Books {
  /** What TorchServe holds beside its workers; undefined: not known. */
  base: number | undefined
  /** A container in which workers served, for those of which the cost is not known. */
  first: First | undefined
  /** A share over what was seen: for peaks between two looks, and for loads that need more than they keep. */
  margin: number
  /** What may be used now; Infinity where nothing limits it, undefined where that is not known. */
  granted: number | undefined
  /** The most that may be asked for; at least what is granted. */
  most: number
  /** The same without regard to what passes, as an API server that cannot be asked for a moment. */
  lasting: number
  /** What keeps it from being more, as the end of a sentence. */
  because: string
}

export type Admission =
  /** `to` workers fit into what is granted. */
  | { kind: 'granted'; to: number }
  /** None more fits yet; memory for `to` is being asked for. */
  | { kind: 'asked'; to: number; bytes: number }
  | { kind: 'refused'; why: string }

/** The part of an amount that was asked for with a margin. */
export function withoutMargin(bytes: number, margin: number): number {
  return bytes / (1 + margin)
}

export class Ledger {
  readonly #books: Books
  readonly #accounts: Map<PoolKey, Account>
  /** Workers that pools ask for and memory can be asked for. */
  readonly #wanted = new Map<PoolKey, number>()

  constructor(books: Books, accounts: readonly Account[]) {
    this.#books = books
    this.#accounts = new Map(accounts.map(account => [account.key, account]))
  }

  /** What everything that is there needs, margin included; undefined while not known. */
  get need(): number | undefined {
    return this.#sum(({ workers }) => workers)
  }

  /** The same for what pools ask for. */
  get wanted(): number | undefined {
    return this.#sum(({ key, workers }) => Math.max(workers, this.#wanted.get(key) ?? 0))
  }

  cost(key: PoolKey): number | undefined {
    return this.#accounts.get(key)?.cost
  }

  /** Whether of a pool's workers only the most that they can need is known. */
  isBound(key: PoolKey): boolean {
    return this.#books.first !== undefined && this.cost(key) === undefined
  }

  /**
   * The most workers that memory could ever hold of a pool beside those that other pools keep, whatever is there now; Infinity
   * where nothing limits it. While that is not known no worker is started, so those that are there are the most.
   */
  most(key: PoolKey): number {
    const { base = 0, granted, lasting, margin } = this.#books
    const account = this.#accounts.get(key)
    if (!account || granted === Infinity) return Infinity
    if (granted === undefined || this.need === undefined) return account.workers
    if (account.cost === undefined || this.#isBounded(each => each.kept)) {
      return this.#mostBounded(account, lasting)
    }
    const others = this.#kept(each => each !== account)
    const room = withoutMargin(lasting, margin) - base - others
    const most = Math.max(0, Math.floor(room / account.cost))
    // Needs are whole MiB, and the quotient may be a hair below a whole number.
    const next = this.#sum(each => (each === account ? most + 1 : each.kept)) ?? Infinity
    return next <= lasting ? most + 1 : most
  }

  /**
   * Which part of the memory for workers pools would take that had so many each; one of each counts as fitting. Undefined where
   * nothing limits it, or it is not known.
   */
  share(workersOf: ReadonlyMap<PoolKey, number>): number | undefined {
    const { base = 0, granted, lasting, margin } = this.#books
    if (granted === undefined || granted === Infinity || this.need === undefined) return undefined
    const among = (most: number) => (each: Account) => Math.min(workersOf.get(each.key) ?? 0, most)
    let taken = this.#unknownBytes(among(Infinity), 0)
    let least = this.#unknownBytes(among(1), 0)
    for (const [key, workers] of workersOf) {
      const cost = this.cost(key) ?? 0
      taken += workers * cost
      if (workers > 0) least += cost
    }
    const others = this.#kept(({ key }) => !workersOf.has(key))
    const room = withoutMargin(lasting, margin) - base - others
    return taken === 0 ? 0 : taken / Math.max(room, least)
  }

  /** Whether a pool may grow to `to` workers; what is granted is taken. */
  admit(key: PoolKey, to: number): Admission {
    const { granted, most, because } = this.#books
    const account = this.#accounts.get(key)
    if (!account || granted === Infinity) return { kind: 'granted', to }
    if (granted === undefined) {
      return { kind: 'refused', why: 'how much memory the container may use is not known' }
    }
    const next = this.#needWith(account, account.workers + 1)
    if (next === undefined) return { kind: 'refused', why: this.#unknown(account) }
    const feasible = this.#largest(account, to, most)
    if (feasible === account.workers) {
      return { kind: 'refused', why: `one worker more needs ${inMib(next)} and ${because}` }
    }
    this.#wanted.set(key, feasible)
    const fitting = this.#largest(account, to, granted)
    if (fitting === account.workers) return { kind: 'asked', to: feasible, bytes: this.wanted ?? 0 }
    account.workers = fitting
    return { kind: 'granted', to: fitting }
  }

  /** The most workers up to `to` whose need is within `bytes`; at least those that are there. */
  #largest(account: Account, to: number, bytes: number): number {
    let workers = account.workers
    while (workers < to && (this.#needWith(account, workers + 1) ?? Infinity) <= bytes) workers++
    return workers
  }

  #needWith(account: Account, workers: number): number | undefined {
    return this.#sum(each => (each === account ? workers : each.workers))
  }

  /** Bytes of the workers that stay. */
  #kept(which: (account: Account) => boolean): number {
    return [...this.#accounts.values()]
      .filter(which)
      .reduce((sum, { cost = 0, kept }) => sum + kept * cost, 0)
  }

  #mostBounded(account: Account, bytes: number): number {
    const need = (workers: number) =>
      this.#sum(each => (each === account ? workers : each.kept)) ?? Infinity
    let most = this.#books.first?.workers.get(account.key) ?? 0
    while (most < MOST_WORKERS && need(most + 1) <= bytes) most++
    return most
  }

  /** With the margin, for so many workers of each pool. */
  #sum(workersOf: (account: Account) => number): number | undefined {
    const { base, first, margin } = this.#books
    const isBounded = this.#isBounded(workersOf)
    if (isBounded && !first) return undefined
    let sum = isBounded ? this.#unknownBytes(workersOf, 1) : (base ?? 0)
    for (const account of this.#accounts.values()) {
      const within = isBounded ? (first?.workers.get(account.key) ?? 0) : 0
      sum += Math.max(0, workersOf(account) - within) * (account.cost ?? 0)
    }
    return Math.ceil((sum * (1 + margin)) / MIB) * MIB
  }

  /** Whether it must be reckoned by what the first workers had. */
  #isBounded(workersOf: (account: Account) => number): boolean {
    const isUnknown = (each: Account) => each.cost === undefined && workersOf(each) > 0
    return this.#books.base === undefined || [...this.#accounts.values()].some(isUnknown)
  }

  /**
   * The most that the workers can need of which the cost is not known. What the first ones had is enough for all of them: for no
   * pool more than k times as many, k times that is. The average would be too little where one model needs more than another.
   */
  #unknownBytes(workersOf: (account: Account) => number, least: number): number {
    const { first } = this.#books
    if (!first) return 0
    let times = least
    let beside = 0
    for (const account of this.#accounts.values()) {
      if (account.cost !== undefined) continue
      const had = first.workers.get(account.key) ?? 0
      if (had > 0) times = Math.max(times, workersOf(account) / had)
      else beside += workersOf(account)
    }
    return (times + beside) * Math.floor(withoutMargin(first.bytes, MARGIN))
  }

  #unknown({ key }: Account): string {
    if (this.#books.base === undefined) return 'what TorchServe itself needs is not known yet'
    const unknown = [...this.#accounts.values()].find(
      each => each.cost === undefined && (each.workers > 0 || each.key === key),
    )
    return `what a worker of ${unknown?.key ?? key} needs is not known: share the pod's PID namespace, or set workerMemory`
  }
}
