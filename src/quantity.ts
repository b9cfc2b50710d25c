/** Kubernetes' notation for amounts, as `1536Mi`, `2G`, `1.5Gi`, `12e6` or `2500m`. */

const suffixes: Readonly<Record<string, readonly [base: bigint, exponent: number]>> = {
  n: [10n, -9],
  u: [10n, -6],
  m: [10n, -3],
  '': [10n, 0],
  k: [10n, 3],
  M: [10n, 6],
  G: [10n, 9],
  T: [10n, 12],
  P: [10n, 15],
  E: [10n, 18],
  Ki: [2n, 10],
  Mi: [2n, 20],
  Gi: [2n, 30],
  Ti: [2n, 40],
  Pi: [2n, 50],
  Ei: [2n, 60],
}

const MOST_DIGITS = 40

/**
 * Whole bytes of an amount, fractions rounded up as Kubernetes does; undefined when the text is none, is negative, or exceeds
 * what a number holds exactly (8 PiB).
 */
export function parseBytes(text: string): number | undefined {
  const parts = /^\+?(\d*)(?:\.(\d*))?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?$/.exec(text)
  const [, whole = '', fraction = '', suffix = ''] = parts ?? []
  const digits = whole + fraction
  if (digits === '' || digits.length > MOST_DIGITS) return undefined
  const [base, exponent] = suffixes[suffix] ?? [10n, Number(suffix.slice(1))]
  const scale = 10n ** BigInt(fraction.length)
  const value = BigInt(digits)
  const [over, under] =
    exponent < 0
      ? [value, scale * base ** BigInt(-exponent)]
      : [value * base ** BigInt(exponent), scale]
  const bytes = Number((over + under - 1n) / under)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
