/** Kubernetes' notation for amounts, as `1536Mi`, `2G`, `1.5Gi`, `12e6` or `2500m`. */

export interface Quantity {
  /** Billionths, which is as finely as Kubernetes counts. */
  nano: bigint
  /** Written with a suffix of powers of two. */
  binary: boolean
}

const units: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 10n ** 3n,
  m: 10n ** 6n,
  '': 10n ** 9n,
  k: 10n ** 12n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
  Ki: (10n ** 9n) << 10n,
  Mi: (10n ** 9n) << 20n,
  Gi: (10n ** 9n) << 30n,
  Ti: (10n ** 9n) << 40n,
  Pi: (10n ** 9n) << 50n,
  Ei: (10n ** 9n) << 60n,
}

const one = 10n ** 9n
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const MOST_DIGITS = 40

/** Rounded up to a whole billionth; undefined when the text is no amount. */
export function parseQuantity(text: string): Quantity | undefined {
  const pattern = /^([+-]?)(\d*)(?:\.(\d*))?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?$/
  const [, sign = '', whole = '', fraction = '', suffix = ''] = pattern.exec(text) ?? []
  const digits = whole + fraction
  if (digits === '' || digits.length > MOST_DIGITS) return undefined
  const power = /^[eE][+-]?\d/.test(suffix) ? Number(suffix.slice(1)) : 0
  const unit = power === 0 ? (units[suffix] ?? one) : one
  const [over, under] = power < 0 ? [1n, 10n ** BigInt(-power)] : [10n ** BigInt(power), 1n]
  const nano = roundedUp(BigInt(digits) * unit * over, under * 10n ** BigInt(fraction.length))
  return { nano: sign === '-' ? -nano : nano, binary: suffix.endsWith('i') }
}

/**
 * Whole bytes of an amount, fractions rounded up as Kubernetes does; undefined when the text is none, is negative, or exceeds
 * what a number holds exactly (8 PiB).
 */
export function parseBytes(text: string): number | undefined {
  const nano = parseQuantity(text)?.nano
  if (nano === undefined || nano < 0n) return undefined
  const bytes = Number(roundedUp(nano, one))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** As Kubernetes would write it: the same amount in another notation would be a change, and take its field from whoever set it. */
export function formatBytes(bytes: number): string {
  let place = 0
  let rest = bytes
  while (rest >= 1024 && rest % 1024 === 0 && place < binarySuffixes.length - 1) {
    rest /= 1024
    place++
  }
  return `${rest}${binarySuffixes[place]}`
}

function roundedUp(value: bigint, unit: bigint): bigint {
  return (value + unit - 1n) / unit
}
