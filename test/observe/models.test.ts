import t from 'tap'
import { ModelWatch, type Traffic } from '../../src/observe/models.ts'
import { fault, standIn } from './stand-in.ts'

const timeoutMs = 2_000

function setUp(processes?: { isWorker: (pid: number) => boolean | undefined }) {
  const { state, torchserve, clock, questions } = standIn()
  const watch = new ModelWatch({
    torchserve,
    processes: processes && { ...processes, use: () => undefined },
    clock,
    timeoutMs,
  })
  /** One look a second. */
  const look = async (requests?: Record<string, number>, urgent: string[] = []) => {
    state.nowMs += 1_000
    const traffic: Traffic | undefined = requests && {
      atMs: state.nowMs,
      requests: new Map(Object.entries(requests)),
    }
    return watch.look(new Set(urgent), traffic)
  }
  return { state, look, questions }
}

const cpu = [{ version: '1.0', workers: [{ id: '9000', pid: 7 }] }]
const gpu = [{ version: '1.0', workers: [{ id: '9000', pid: 7, gpu: true }] }]

t.test('models are listed every 10 s and described each time', async t => {
  const { state, look, questions } = setUp()
  state.models.set('a', cpu).set('b', cpu)
  const first = await look()
  t.match(first, { unreachable: undefined, reachedAtMs: state.nowMs, faults: [] })
  t.strictSame(
    first.models.map(({ model, why }) => [model, why]),
    [
      ['a', undefined],
      ['b', undefined],
    ],
  )
  t.strictSame(questions(), ['list', 'describe a', 'describe b'])
  for (let second = 0; second < 9; second++) await look()
  t.notOk(questions().includes('list'))
  await look()
  t.equal(questions()[0], 'list')
})

t.test('a model with requests that is not listed has the list read, once', async t => {
  const { state, look, questions } = setUp()
  state.models.set('a', cpu)
  await look()
  state.models.set('new', cpu)
  questions()
  t.strictSame(
    (await look({ a: 1, new: 1, unregistered: 5 })).models.map(({ model }) => model),
    ['a', 'new'],
  )
  t.equal(questions()[0], 'list')
  await look({ a: 1, new: 1, unregistered: 5 })
  t.notOk(questions().includes('list'), 'its counters stay for ever')
})

t.test('a model that is gone is gone at once, and without a word', async t => {
  const { state, look, questions } = setUp()
  state.models.set('a', cpu).set('b', cpu)
  await look()
  state.models.delete('b')
  const { models, faults, unreachable } = await look()
  t.strictSame([models.map(({ model }) => model), faults, unreachable], [['a'], [], undefined])
  questions()
  await look()
  t.equal(questions()[0], 'list')
})

t.test('at most four questions at a time', async t => {
  const { state, look } = setUp()
  for (let i = 0; i < 12; i++) state.models.set(`m${i}`, cpu)
  t.equal((await look()).models.length, 12)
  t.equal(state.most, 4)
})

t.test('whether a worker is alive is told where processes can be seen', async t => {
  const workers = [{ id: '9000', pid: 7 }, { id: '9001', pid: 8 }, { id: '9002' }]
  const { state, look } = setUp({ isWorker: pid => pid === 7 })
  state.models.set('a', [{ version: '1.0', workers }])
  const { models } = await look()
  t.strictSame(
    models[0]?.known?.descriptions[0]?.workers.map(({ alive }) => alive),
    [true, false, undefined],
  )
})

t.test('of several versions the default one is asked every 10 s and when they change', async t => {
  const { state, look, questions } = setUp()
  const defaults = async () => {
    const { models } = await look()
    return models[0]?.known?.descriptions.map(({ id, isDefault }) => [id.version, isDefault])
  }
  state.models.set('a', [{ version: '1.0' }, { version: '2.0' }])
  state.defaults.set('a', '1.0')
  t.strictSame(await defaults(), [
    ['1.0', true],
    ['2.0', false],
  ])
  await defaults()
  t.equal(questions().filter(question => question === 'default a').length, 1)
  state.defaults.set('a', '2.0')
  state.models.set('a', [{ version: '2.0' }, { version: '3.0' }, { version: '1.0' }])
  t.strictSame(await defaults(), [
    ['2.0', true],
    ['3.0', false],
    ['1.0', false],
  ])
  state.defaults.set('a', '3.0')
  for (let second = 0; second < 10; second++) await defaults()
  t.strictSame((await defaults())?.[1], ['3.0', true])
})

t.test('models on GPUs are described every 10 s, and when urgent', async t => {
  const { state, look, questions } = setUp()
  state.models.set('cpu', cpu).set('gpu', gpu).set('other', gpu)
  await look()
  questions()
  const second = await look()
  t.strictSame(questions(), ['describe cpu'])
  t.match(second.models[1], { why: undefined, known: { atMs: state.nowMs - 1_000 } })
  t.equal(second.unreachable, undefined)
  await look(undefined, ['gpu'])
  t.strictSame(questions().toSorted(), ['describe cpu', 'describe gpu'], 'and only that one')
  for (let i = 0; i < 9; i++) await look()
  t.notOk(questions().includes('describe gpu'))
  t.equal((await look()).models[1]?.why, undefined)
  t.ok(questions().includes('describe gpu'))
})

t.test('a model on GPUs is described sooner when more requests come than before', async t => {
  const { state, look, questions } = setUp()
  state.models.set('gpu', gpu)
  let requests = 1_000
  const described = async (perSecond: number) => {
    requests += perSecond
    await look({ gpu: requests })
    return questions().includes('describe gpu')
  }
  await described(0)
  await described(20)
  await described(20)
  const steady = []
  for (let i = 0; i < 7; i++) steady.push(await described(i % 2 === 0 ? 24 : 16))
  t.notOk(steady.includes(true), '20 a second, give or take')
  await described(20)
  t.ok(await described(60), 'three times as many')
  requests = 0
  t.ok(await described(1), 'fewer than before: TorchServe restarted')
})

t.test('an idle model on GPUs is looked at with the fourth request', async t => {
  const { state, look, questions } = setUp()
  state.models.set('gpu', gpu)
  await look({})
  await look({})
  questions()
  await look({ gpu: 3 })
  t.notOk(questions().includes('describe gpu'))
  await look({ gpu: 4 })
  t.ok(questions().includes('describe gpu'))
})

t.test('TorchServe that does not answer is asked one thing a look', async t => {
  const { state, look, questions } = setUp()
  state.models.set('a', cpu).set('b', gpu)
  await look()
  state.faults.set('list', fault('TORCHSERVE_TIMEOUT'))
  state.faults.set('describe a', fault('TORCHSERVE_TIMEOUT'))
  t.match(await look(), { unreachable: /TIMEOUT/, reachedAtMs: state.nowMs - 1_000 })
  questions()
  const during = await look()
  t.strictSame(questions(), ['list'])
  t.equal(during.faults.length, 1)
  for (const { why, known } of during.models) {
    t.match(why, /TIMEOUT/)
    t.equal(known?.atMs, state.nowMs - 2_000, 'what was known is kept')
  }
  state.faults.clear()
  t.match((await look()).models, [{ why: undefined }, { why: undefined }])
})

t.test('one model’s trouble is its own', async t => {
  const { state, look } = setUp()
  state.models.set('a', cpu).set('b', cpu).set('c', cpu)
  state.faults.set('describe a', fault('TORCHSERVE_FAILED'))
  state.faults.set('describe b', new TypeError('a bug'))
  const { models, unreachable, faults } = await look()
  t.equal(unreachable, undefined)
  t.match(models, [
    { model: 'a', known: undefined, why: /FAILED/ },
    { model: 'b', known: undefined, why: /a bug/ },
    { model: 'c', why: undefined },
  ])
  t.strictSame(
    faults.map(({ code }) => code),
    ['TORCHSERVE_FAILED', 'TORCHSERVE_FAILED'],
  )
})

t.test(
  'a slow TorchServe is asked no more once the time is up, and next time the others',
  async t => {
    const { state, look, questions } = setUp()
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const name of names) {
      state.models.set(name, cpu)
      state.takesMs.set(`describe ${name}`, 2_500)
    }
    const first = await look()
    t.match(first.models.at(-1), { model: 'f', why: /too slow/ })
    const asked = new Set(questions())
    await look()
    for (const question of questions()) asked.add(question)
    t.equal(names.filter(name => asked.has(`describe ${name}`)).length, 6)
  },
)

t.test('no time left for the default version', async t => {
  const { state, look } = setUp()
  state.models.set('a', [{ version: '1.0' }, { version: '2.0' }])
  state.takesMs.set('describe a', timeoutMs)
  t.match(await look(), { models: [{ why: /no time left to ask its default version/ }] })
})
