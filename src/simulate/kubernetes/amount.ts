/** Arithmetic on Kubernetes' amounts, which are written back as the API server writes them. */
import { parseQuantity } from '../../quantity.ts'

const one = 10n ** 9n
const decimal = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

export class Amount {
  static readonly zero = new Amount(0n, false)
  readonly nano: bigint
  readonly #binary: boolean

  constructor(nano: bigint, isBinary: boolean) {
    this.nano = nano
    this.#binary = isBinary
  }

  /** Undefined when the text is no amount. */
  static parse(text: string): Amount | undefined {
    const quantity = parseQuantity(text)
    return quantity && new Amount(quantity.nano, quantity.binary)
  }

  /** Of a text that has been checked; zero where there is none. */
  static of(text: string | undefined): Amount {
    return Amount.parse(text ?? '0') ?? Amount.zero
  }

  /** Zero takes the other's notation. */
  plus(other: Amount): Amount {
    return new Amount(this.nano + other.nano, this.nano === 0n ? other.#binary : this.#binary)
  }

  minus(other: Amount): Amount {
    return new Amount(this.nano - other.nano, this.nano === 0n ? other.#binary : this.#binary)
  }

  above(other: Amount): boolean {
    return this.nano > other.nano
  }

  max(other: Amount): Amount {
    return other.above(this) ? other : this
  }

  /** Rounded up. */
  get whole(): number {
    return Number((this.nano + one - 1n) / one)
  }

  /** For cpu: thousandths, rounded up. */
  get milli(): number {
    return Number((this.nano * 1000n + one - 1n) / one)
  }

  /** With the largest suffix that leaves no fraction: `6144Mi` is `6Gi`, `2000m` is `2`, `2.5` is `2500m`. */
  toString(): string {
    const whole = this.nano / one
    if (this.#binary && whole * one === this.nano && (whole >= 1024n || whole <= -1024n)) {
      return written(whole, 1024n, binary)
    }
    return written(this.nano, 1000n, decimal)
  }
}

function written(value: bigint, base: bigint, suffixes: readonly string[]): string {
  if (value === 0n) return '0'
  let place = 0
  let rest = value
  while (rest % base === 0n && place < suffixes.length - 1) {
    rest /= base
    place++
  }
  return `${rest}${suffixes[place]}`
}
