import t from 'tap'
import { page } from '../../src/simulate/torchserve/exposition.ts'

t.test('numbers are written as Java writes doubles', t => {
  const written = (value: number) => {
    const samples = new Map([['QueueTime', new Map([['Level="Host",', value]])]])
    return page(samples, 'prometheus', new Set(['QueueTime']))
      .trim()
      .split(' ')
      .at(-1)
  }
  const cases: [number, string][] = [
    [0, '0.0'],
    [3, '3.0'],
    [22_232, '22232.0'],
    [331_655.975, '331655.975'],
    [9_999_999, '9999999.0'],
    [10_000_000, '1.0E7'],
    [7_656_804_783.170_004, '7.656804783170004E9'],
    [-12_345_678, '-1.2345678E7'],
    [0.001, '0.001'],
    [0.000_25, '2.5E-4'],
  ]
  for (const [value, text] of cases) t.equal(written(value), text)
  t.end()
})
