import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const hasTest = source => existsSync(source.replace(/^src/, 'test').replace(/\.ts$/, '.test.ts'))

const filesIn = folder =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true })
        .filter(name => name.endsWith('.ts'))
        .map(name => join(folder, name))
    : []

/**
 * A test covers the file of src/ that it mirrors. It also answers for files without a test of their own: those in the folder
 * of its name (test/config.test.ts for src/config/), or, where it mirrors no file, in its own folder (test/decide/timeline.test.ts).
 */
export default test => {
  const source = test.replace(/^test/, 'src').replace(/\.test\.ts$/, '.ts')
  const mirrored = existsSync(source)
  const folder = mirrored ? source.replace(/\.ts$/, '') : join(source, '..')
  const others = folder === 'src' ? [] : filesIn(folder).filter(file => !hasTest(file))
  const covered = mirrored ? [source, ...others] : others
  return covered.length > 0 ? covered : null
}
