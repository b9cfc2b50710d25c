import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { parseExposition } from '../../src/observe/exposition.ts'

const captures = new URL('../captures/torchserve/', import.meta.url)
const capture = (name: string) => readFileSync(new URL(name, captures), 'utf8')

function bad(text: string): number[] {
  const lines: number[] = []
  parseExposition(text, line => lines.push(line))
  return lines
}

t.test('a page of TorchServe', t => {
  const samples = parseExposition(capture('prometheus_3_two_models_two_versions.txt'))
  t.strictSame(
    samples.filter(({ name }) => name === 'ts_inference_requests_total'),
    [
      ['sleep', 'default', 3],
      ['sleep', '1.0', 1],
      ['sleep', '2.0', 1],
      ['burn', 'default', 1],
    ].map(([model_name, model_version, value]) => ({
      name: 'ts_inference_requests_total',
      labels: { model_name, model_version, hostname: 'vm' },
      value,
    })),
  )
  t.strictSame(bad(capture('prometheus_3_two_models_two_versions.txt')), [])
  t.strictSame(parseExposition(capture('metrics_legacy_no_traffic.txt')), [])
  t.strictSame(parseExposition(''), [])
  t.end()
})

t.test('numbers in every form', t => {
  const forms: [string, number][] = [
    ['7.656804783170004E9', 7_656_804_783.170004],
    ['22232.0', 22_232],
    ['-1e-3', -0.001],
    ['+.5', 0.5],
    ['5.', 5],
    ['NaN', Number.NaN],
    ['+Inf', Infinity],
    ['Inf', Infinity],
    ['-Inf', -Infinity],
  ]
  for (const [text, value] of forms) {
    t.same(parseExposition(`m{a="b",} ${text}`)[0]?.value, value, text)
    t.same(parseExposition(`m ${text} 1700000000000\n`)[0]?.value, value, `${text} at a time`)
  }
  t.end()
})

t.test('labels: escapes, spaces, commas, braces and names like those of objects', t => {
  const text = String.raw`m{ a = "x\\y\"z\n", b="},{", c="", __proto__="p" } 1`
  t.strictSame(parseExposition(text), [
    {
      name: 'm',
      labels: Object.fromEntries([
        ['a', 'x\\y"z\n'],
        ['b', '},{'],
        ['c', ''],
        ['__proto__', 'p'],
      ]),
      value: 1,
    },
  ])
  t.strictSame(parseExposition('m{} 1\r\nn\t2'), [
    { name: 'm', labels: {}, value: 1 },
    { name: 'n', labels: {}, value: 2 },
  ])
  t.end()
})

t.test('a bad line costs itself and is counted', t => {
  const lines = [
    'ok 1',
    'no_value',
    'no_value{a="b"}',
    'open{a="b',
    'open{a="b"',
    'unquoted{a=b} 1',
    'glued1{a="b"}x',
    'word abc',
    'hex 0x10',
    'three 1 2 3',
    'time 1 soon',
    '{a="b"} 1',
    '"quoted" 1',
    '# HELP x y',
    '',
    'ok 2',
  ]
  t.strictSame(
    parseExposition(lines.join('\n')).map(({ value }) => value),
    [1, 2],
  )
  t.strictSame(bad(lines.join('\n')), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
  t.end()
})

t.test('what is written is read', t => {
  const name = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_]{0,8}$/)
  const escape = (text: string) =>
    text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
  const sample = fc.record({
    name,
    labels: fc.dictionary(
      name,
      fc.string().filter(text => !text.includes('\r')),
    ),
    value: fc.double({ noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(sample), samples => {
      const text = samples
        .map(({ name: title, labels, value }) => {
          const pairs = Object.entries(labels).map(([key, label]) => `${key}="${escape(label)}",`)
          return `${title}{${pairs.join('')}} ${String(value).replace('Infinity', 'Inf')}\n`
        })
        .join('')
      const read = parseExposition(text)
      return (
        read.length === samples.length &&
        read.every(
          ({ value, labels }, i) =>
            value === samples[i]?.value &&
            JSON.stringify(labels) === JSON.stringify({ ...samples[i]?.labels }),
        )
      )
    }),
  )
  fc.assert(fc.property(fc.string(), text => Array.isArray(parseExposition(text))))
  t.end()
})

t.test('time grows with the text, on long pages and on long lines', t => {
  const page = (series: number) =>
    Array.from(
      { length: series },
      (_, i) => `WorkerLoadTime{WorkerName="W-${9000 + i}-sleep_1.0",Level="Host",} 216.0\n`,
    ).join('')
  t.equal(parseExposition(page(1_600)).length, 1_600)
  const took = (text: string) => {
    const start = performance.now()
    parseExposition(text)
    return performance.now() - start
  }
  const hostile = [
    page(20_000),
    `m{a="${'\\'.repeat(1_000_000)}`,
    `m{${' '.repeat(1_000_000)}`,
    `m${' '.repeat(1_000_000)}x`,
    `m ${'1'.repeat(1_000_000)}x`,
    `m{${'a'.repeat(1_000_000)}`,
    `m{${','.repeat(1_000_000)}} 1`,
    `m{${'a="b",'.repeat(200_000)}`,
  ]
  for (const text of hostile) t.ok(took(text) < 1_000, `${text.slice(0, 12)}… ${took(text)} ms`)
  t.end()
})
