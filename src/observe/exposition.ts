/** Reads metrics in Prometheus text, tolerantly: a line that cannot be read costs that line only. */

export interface Sample {
  name: string
  labels: Readonly<Record<string, string>>
  /** May be NaN or infinite. */
  value: number
}

/**
 * Samples in the order of the text; HELP, TYPE and timestamps are left out. Takes time in proportion to the text.
 * `onBadLine` hears of each line that is no sample and no comment, by its number from 1.
 */
export function parseExposition(
  text: string,
  onBadLine: (line: number) => void = () => {},
): Sample[] {
  const samples: Sample[] = []
  let line = 0
  for (let start = 0; start < text.length; line++) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const content = text.slice(start, end).trim()
    start = end + 1
    if (content === '' || content.startsWith('#')) continue
    const sample = parseSample(content)
    if (sample) samples.push(sample)
    else onBadLine(line + 1)
  }
  return samples
}

const nameBefore = /[^\s{}",=]+/y
const labelName = /\s*([^\s{}",=]+)\s*=\s*"/y
const separator = /\s*(?:,\s*)?/y
const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const timestamp = /^-?\d+(?:\.\d+)?$/

function parseSample(line: string): Sample | undefined {
  const name = match(nameBefore, line, 0)
  if (!name) return undefined
  let at = name[0].length
  while (line[at] === ' ' || line[at] === '\t') at++
  const entries: [string, string][] = []
  if (line[at] === '{') {
    at++
    for (;;) {
      at += match(separator, line, at)?.[0].length ?? 0
      if (line[at] === '}') break
      const label = match(labelName, line, at)
      if (!label?.[1]) return undefined
      const value = parseQuoted(line, at + label[0].length)
      if (!value) return undefined
      entries.push([label[1], value.text])
      at = value.end
    }
    at++
  } else if (at === name[0].length) return undefined
  const [number = '', time, ...rest] = line
    .slice(at)
    .trim()
    .split(/[ \t]+/, 3)
  const value = parseValue(number)
  if (value === undefined || rest.length > 0) return undefined
  if (time !== undefined && !timestamp.test(time)) return undefined
  return { name: name[0], labels: Object.fromEntries(entries), value }
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Reads from behind the opening quote; `end` is behind the closing one. */
function parseQuoted(line: string, from: number): { text: string; end: number } | undefined {
  let text = ''
  let copied = from
  for (let at = from; at < line.length; at++) {
    if (line[at] === '"') return { text: text + line.slice(copied, at), end: at + 1 }
    if (line[at] !== '\\') continue
    const escaped = line[at + 1] ?? ''
    text += line.slice(copied, at) + (escaped === 'n' ? '\n' : escaped)
    copied = at + 2
    at++
  }
  return undefined
}

function parseValue(text: string): number | undefined {
  if (decimal.test(text)) return Number(text)
  switch (text.toLowerCase()) {
    case 'nan':
      return Number.NaN
    case 'inf':
    case '+inf':
      return Infinity
    case '-inf':
      return -Infinity
    default:
      return undefined
  }
}
