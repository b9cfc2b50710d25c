import { spawnSync } from 'node:child_process'
import t from 'tap'
import { parseAllDocuments } from 'yaml'

function stoker(args: string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/main.ts', ...args], {
    input,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

const pod = (name: string, extra = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata: { name: ${name}${extra} }\nspec: { containers: [{ name: a, image: torchserve }] }`

t.test('files and standard input become one stream, with the report beside it', async t => {
  const dir = t.testdir({
    'a.yaml': pod('a'),
    'b.yaml': `---\n${pod('b')}\n`,
    'c.yaml': 'kind: Service\n',
  })
  const files = [`${dir}/a.yaml`, '-', `${dir}/b.yaml`, `${dir}/c.yaml`]
  const { status, stdout, stderr } = stoker(
    ['inject', '--image', 'x:1', '--set', 'max-workers=3', ...files],
    pod('in'),
  )
  t.equal(status, 0)
  const documents = parseAllDocuments(stdout).map(document => document.toJS())
  const agent = { name: 'stoker-agent', image: 'x:1' }
  const got = (name: string) => ({ metadata: { name }, spec: { initContainers: [agent] } })
  t.match(documents, [got('a'), got('in'), got('b'), { kind: 'Service' }])
  const env = documents[0].spec.initContainers[0].env
  t.match(env, [{ name: 'STOKER_MAX_WORKERS', value: '3' }, { name: 'NVIDIA_VISIBLE_DEVICES' }])
  t.equal(
    stderr.replaceAll(dir, ''),
    [
      '/a.yaml, document 1, Pod/a: injected: The agent was added beside a',
      'standard input, document 1, Pod/in: injected: The agent was added beside a',
      '/b.yaml, document 1, Pod/b: injected: The agent was added beside a',
      '/c.yaml: no pods in it',
      '',
    ].join('\n'),
  )
  const out = stoker(['uninject'], stdout)
  t.equal(out.status, 0)
  t.notMatch(out.stdout, /stoker/)
})

t.test('on a fault nothing is written', async t => {
  const dir = t.testdir({
    'a.yaml': pod('a'),
    'b.yaml': pod('b', ', annotations: { stoker.dev/mode: watch }'),
  })
  const { status, stdout, stderr } = stoker([
    'inject',
    `${dir}/a.yaml`,
    `${dir}/b.yaml`,
    `${dir}/none.yaml`,
  ])
  t.equal(status, 1)
  t.equal(stdout, '')
  t.match(
    stderr,
    'b.yaml, document 1, Pod/b: refused: stoker.dev/mode="watch" must be act or advise\n',
  )
  t.match(stderr, /none.yaml: ENOENT.*\nNothing was written: there are 2 faults.\n$/)
})

t.test('flags that cannot be understood end with 64, each named', async t => {
  const wrong = [
    '--image',
    'a b',
    '--pull-policy',
    'Sometimes',
    '--set',
    'mode',
    '--set',
    'mod=act',
    '--set',
    'max-workers=0',
  ]
  const { status, stdout, stderr } = stoker(['inject', ...wrong])
  t.equal(status, 64)
  t.equal(stdout, '')
  for (const expected of [
    '--image a b must be the name of an image',
    '--pull-policy Sometimes must be Always or IfNotPresent or Never',
    '--set mode must be NAME=VALUE',
    '--set: stoker.dev/mod is not an annotation of Stoker; did you mean stoker.dev/mode?',
    '--set: stoker.dev/max-workers=0 must be a whole number from 1 to 1000',
  ])
    t.match(stderr, expected)
  t.equal(stoker(['uninject', '--image', 'x']).status, 64)
})
