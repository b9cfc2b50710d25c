import t from 'tap'
import { formatBytes, parseBytes } from '../src/quantity.ts'

t.test('every notation of Kubernetes', async t => {
  const cases: [string, number][] = [
    ['0', 0],
    ['128974848', 128_974_848],
    ['129e6', 129_000_000],
    ['129M', 129_000_000],
    ['128974848000m', 128_974_848],
    ['123Mi', 128_974_848],
    ['1Ki', 1024],
    ['1k', 1000],
    ['1.1k', 1100],
    ['1.5Gi', 1_610_612_736],
    ['.5Gi', 536_870_912],
    ['2.', 2],
    ['+1Gi', 1_073_741_824],
    ['1Ti', 2 ** 40],
    ['1T', 1e12],
    ['1P', 1e15],
    ['7Pi', 7 * 2 ** 50],
    ['1E3', 1000],
    ['1e3', 1000],
    ['12E-1', 2],
    ['0.001E', 1e15],
  ]
  for (const [text, bytes] of cases) t.equal(parseBytes(text), bytes, text)
})

t.test('a part of a byte is a whole one', async t => {
  t.equal(parseBytes('2500m'), 3)
  t.equal(parseBytes('2.5'), 3)
  t.equal(parseBytes('1n'), 1)
  t.equal(parseBytes('1u'), 1)
})

t.test('what is no amount of memory is none', async t => {
  const none = [
    '',
    ' ',
    'lots',
    '1 Gi',
    '1gi',
    '1KI',
    '-1',
    '1Gi ',
    '1.2.3',
    'Gi',
    '.',
    '1e',
    '0x10',
  ]
  for (const text of [...none, '8Ei', '9E', '1e99', '1'.repeat(41)]) {
    t.equal(parseBytes(text), undefined, JSON.stringify(text))
  }
})

t.test('bytes are written as Kubernetes stores them', async t => {
  const cases: [number, string][] = [
    [3 * 2 ** 30, '3Gi'],
    [3 * 2 ** 30 + 2 ** 20, '3073Mi'],
    [1025, '1025'],
    [3_000_000_000, '3000000000'],
    [2 ** 50, '1Pi'],
    [512, '512'],
  ]
  for (const [bytes, text] of cases) {
    t.equal(formatBytes(bytes), text)
    t.equal(parseBytes(text), bytes)
  }
})
