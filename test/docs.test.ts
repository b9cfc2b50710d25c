import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { check } from 'prettier'
import t from 'tap'
import { checkDocs, generatedDocs, writeDocs } from '../src/docs.ts'
import { errorTable } from '../src/errors.ts'

t.test('the pages in docs/ are those that the code makes', async t => {
  t.same(checkDocs('.'), [], 'run: npm run docs')
})

t.test('missing and stale pages are named until they are written', async t => {
  const root = t.testdir()
  t.same(checkDocs(root), [
    'docs/config.md',
    'docs/errors.md',
    'docs/injection.md',
    'docs/metrics.md',
  ])
  writeDocs(root)
  t.same(checkDocs(root), [])
  writeFileSync(join(root, 'docs/errors.md'), 'by hand')
  t.same(checkDocs(root), ['docs/errors.md'])
  writeDocs(root)
  t.same(checkDocs(root), [])
})

t.test('a page that cannot be read is not taken for a missing one', async t => {
  const root = t.testdir({ docs: { 'config.md': {} } })
  t.throws(() => checkDocs(root), { code: 'EISDIR' })
})

t.test('the pages are formatted as prettier formats them', async t => {
  const style: object = JSON.parse(readFileSync('.prettierrc.json', 'utf8'))
  for (const [path, text] of generatedDocs())
    t.ok(await check(text, { ...style, filepath: path }), path)
})

t.test('every error has its section, and every variable that a remedy names exists', async t => {
  const errors = generatedDocs().get('docs/errors.md') ?? ''
  t.same(errors.match(/(?<=^## )\w+$/gm), Object.keys(errorTable))
  const settings = generatedDocs().get('docs/config.md') ?? ''
  for (const name of errors.match(/\bSTOKER_[A-Z_]+/g) ?? []) t.match(settings, `## ${name}\n`)
})
