import t from 'tap'
import { active, learnLimit } from '../../src/decide/limits.ts'

const minute = 60_000

t.test('a limit is forgotten in time, and one that is learned again lasts twice as long', t => {
  const first = learnLimit(undefined, 3, 'why', 0)
  t.equal(active(first, 9 * minute)?.at, 3)
  t.equal(active(first, 10 * minute), undefined)
  const second = learnLimit(first, 3, 'why', 12 * minute)
  t.equal(second.untilMs, 32 * minute)
  const much = [1, 2, 3, 4, 5, 6].reduce(last => learnLimit(last, 3, 'why', last.untilMs), second)
  t.equal(much.lastsMs, 120 * minute, 'two hours at most')
  const later = learnLimit(much, 3, 'why', much.untilMs + 121 * minute)
  t.equal(later.lastsMs, 10 * minute, 'and after a good while it begins anew')
  t.end()
})
