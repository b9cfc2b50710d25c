/**
 * The rules of the house: who may import whom, what stays pure, how long things are and what they are called.
 * Each rule is shown to find a planted violation, and then held against the repository.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'

interface Source {
  path: string
  text: string
}

/** A layer is a folder of src/, or a file beside them. It imports itself and those named; of `types:` ones only types. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  model: [],
  clock: [],
  errors: [],
  quantity: [],
  config: ['model', 'errors', 'quantity'],
  decide: ['model', 'types:config'],
  clients: ['model', 'errors', 'clock', 'quantity', 'types:config'],
  observe: ['model', 'config', 'errors', 'clock', 'clients'],
  actuate: ['model', 'config', 'errors', 'clock', 'clients'],
  export: ['model', 'config', 'errors', 'clock', 'clients'],
  inject: ['model', 'config', 'errors', 'clock', 'quantity'],
  agent: ['model', 'config', 'errors', 'clock', 'decide'],
  docs: ['config', 'errors', 'export', 'inject'],
}

/** The part after src/ and before the next slash; empty for other folders. */
const layerOf = (path: string) => /^src\/([\w-]+)/.exec(path)?.[1] ?? ''

function badImports({ path, text }: Source): string[] {
  const from = layerOf(path)
  if (from === '' || from === 'main' || from === 'start') return []
  const allowed = from === 'simulate' ? Object.keys(mayImport) : mayImport[from]
  if (!allowed) return [`${path}: the layer ${from} is not in the table of layers`]
  const imports =
    /^(?:import|export)\s(type\s)?(?:[\w\s{},*$]+from\s)?'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm
  return [...text.matchAll(imports)].flatMap(([, type, named, called]) => {
    const to = layerOf(posix.join(posix.dirname(path), named ?? called ?? ''))
    if (to === from || allowed.includes(to)) return []
    if (!allowed.includes(`types:${to}`)) return `${path}: ${from} must not import ${to}`
    return type ? [] : `${path}: ${from} may import only types of ${to}`
  })
}

/** Without comments and strings; of templates the expressions stay. */
function code(text: string): string {
  const skipped =
    /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return text.replace(skipped, found =>
    found.startsWith('`') ? (found.match(/\$\{[^}]*\}/g) ?? []).join(' ') : "''",
  )
}

const findings = (path: string, text: string, pattern: RegExp, why: string) =>
  (text.match(pattern) ?? []).map(found => `${path}: ${found.trim()} ${why}`)

function impurities({ path, text }: Source): string[] {
  const ambient =
    /\b(?:Date|Math\.random|process|performance|crypto|fetch|setTimeout|setInterval|setImmediate|queueMicrotask|async|await|Promise)\b/g
  if (layerOf(path) !== 'decide') return []
  return [
    ...findings(path, code(text), ambient, 'has no place in a pure folder'),
    ...findings(path, text, /from '[^.'][^']*'/g, 'brings more than arithmetic into a pure folder'),
  ]
}

function ambientSettings({ path, text }: Source): string[] {
  if (!path.startsWith('src/') || path === 'src/main.ts') return []
  return findings(path, code(text), /\bprocess\.env\b/g, 'is read in src/main.ts only')
}

function vagueNames({ path, text }: Source): string[] {
  const declared = code(text).matchAll(/\b(?:class|function|interface|type|namespace)\s+(\w+)/g)
  const names = [...path.split('/'), ...[...declared].map(([, name = '']) => name)]
  const vague = /^(?:utils?|helpers?|managers?|common|misc)$/
  return names
    .filter(name => name.split(/[-_.]|(?=[A-Z])/).some(word => vague.test(word.toLowerCase())))
    .map(name => `${path}: ${name} does not say what it is`)
}

function unfinished({ path, text }: Source): string[] {
  return findings(path, text, /\b(?:TO(?:DO)|FIX(?:ME)|X{3})\b/g, 'is left over')
}

function unrun({ path, text }: Source): string[] {
  if (!path.endsWith('.test.ts')) return []
  const switches = /\.(?:only|skip|todo)\(|\b(?:only|skip|todo):/g
  return findings(path, code(text), switches, 'leaves tests out')
}

const rules: readonly { rule: (source: Source) => string[]; planted: Source[]; fine: Source[] }[] =
  [
    {
      rule: badImports,
      planted: [
        { path: 'src/decide/a.ts', text: "import { parseConfig } from '../config.ts'" },
        { path: 'src/decide/a.ts', text: "import { type Config } from '../config.ts'" },
        { path: 'src/observe/a.ts', text: "import type {\n  A,\n} from '../actuate/workers.ts'" },
        { path: 'src/export/deep/a.ts', text: "export * from '../../observe/a.ts'" },
        { path: 'src/model.ts', text: "import './errors.ts'" },
        { path: 'src/inject/a.ts', text: "const decide = await import('../decide/decide.ts')" },
        { path: 'src/simulate/a.ts', text: "import { run } from '../main.ts'" },
        { path: 'src/novel/a.ts', text: '' },
      ],
      fine: [
        { path: 'src/decide/a.ts', text: "import type { PoolPolicy } from '../config.ts'" },
        {
          path: 'src/config/a.ts',
          text: "import { b } from './b.ts'\nimport { c } from '../errors.ts'",
        },
        { path: 'src/simulate/a.ts', text: "import { decide } from '../decide/decide.ts'" },
        { path: 'src/main.ts', text: "import { run } from './agent.ts'" },
      ],
    },
    {
      rule: impurities,
      planted: [
        { path: 'src/decide/a.ts', text: 'const now = Date.now()' },
        { path: 'src/decide/a.ts', text: 'const late = `${performance.now()} ms`' },
        { path: 'src/decide/a.ts', text: "import { isIP } from 'node:net'" },
        { path: 'src/decide/a.ts', text: 'export async function decide() {}' },
      ],
      fine: [
        {
          path: 'src/decide/a.ts',
          text: '// its process may await a Date\nconst because = `the process died`',
        },
        { path: 'src/observe/a.ts', text: 'const now = Date.now()' },
      ],
    },
    {
      rule: ambientSettings,
      planted: [{ path: 'src/agent.ts', text: 'if (process.env.DEBUG) start()' }],
      fine: [{ path: 'src/main.ts', text: 'parseConfig(process.env)' }],
    },
    {
      rule: vagueNames,
      planted: [
        { path: 'src/observe/string-utils.ts', text: '' },
        { path: 'src/common/a.ts', text: '' },
        { path: 'src/agent.ts', text: 'class WorkerManager {}' },
      ],
      fine: [{ path: 'src/observe/utilisation.ts', text: 'function managementUrl() {}' }],
    },
    {
      rule: unfinished,
      planted: [{ path: 'src/agent.ts', text: ['// TO', 'DO: retry'].join('') }],
      fine: [{ path: 'src/agent.ts', text: 'const todo = []' }],
    },
    {
      rule: unrun,
      planted: [
        { path: 'test/a.test.ts', text: "t.only('a', check)" },
        { path: 'test/a.test.ts', text: "t.test('a', { skip: true }, check)" },
      ],
      fine: [{ path: 'test/a.test.ts', text: "t.test('does not skip: the last', check)" }],
    },
  ]

function sourcesIn(folder: string): Source[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.[jt]s$/.test(entry.name))
    .map(entry => posix.join(entry.parentPath, entry.name))
    .map(path => ({ path, text: readFileSync(path, 'utf8') }))
}

const repository = [...sourcesIn('src'), ...sourcesIn('test')]

for (const { rule, planted, fine } of rules) {
  t.test(rule.name, async t => {
    for (const source of planted)
      t.equal(rule(source).length, 1, `finds ${source.text || source.path}`)
    for (const source of fine) t.same(rule(source), [], `allows ${source.text || source.path}`)
    t.same(repository.flatMap(rule), [], 'the repository keeps it')
  })
}

t.test('the linter holds functions to 70 lines and files to 350', async t => {
  const body = (count: number) => `  let n = 0\n${'  n += 1\n'.repeat(count)}  return n\n}\n`
  const files = {
    'long-function.ts': `export function count(): number {\n${body(67)}`,
    'fitting-function.ts': `export function count(): number {\n${body(66)}`,
    'long-file.ts': `export const numbers = [\n${'  1,\n'.repeat(349)}]\n`,
  }
  const folder = t.testdir(files)
  const paths = Object.keys(files).map(name => posix.join(folder, name))
  const oxlint = [process.execPath, 'node_modules/oxlint/bin/oxlint', '-c', '.oxlintrc.json']
  // oxlint does not start under the loader that tap gives to every child.
  const command = ['-u', 'NODE_OPTIONS', ...oxlint, '-f', 'unix', ...paths]
  const { stdout } = spawnSync('env', command, { encoding: 'utf8' })
  t.match(stdout, /long-function\.ts:.*max-lines-per-function/)
  t.match(stdout, /long-file\.ts:.*max-lines\)/)
  t.notMatch(stdout, /fitting-function\.ts/)
})
