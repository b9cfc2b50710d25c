/** The commands that README.md tells its reader to type, so that a test types the same. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const readme = join(import.meta.dirname, '../../README.md')

/**
 * The words of each command in the section's first shell block, in order, with a value for each placeholder in capitals. Throws where
 * the section has none, or a placeholder has no value.
 */
export function commandsOf(section: string, values: Readonly<Record<string, string>>): string[][] {
  const text = readFileSync(readme, 'utf8')
  const [, after = ''] = text.split(new RegExp(`^## ${section}$`, 'm'))
  const block = /^```sh\n([\s\S]*?)^```$/m.exec(after)?.[1]
  if (block === undefined) throw new Error(`README.md has no commands under ${section}`)
  const filled = block.replaceAll(/\b[A-Z]{2,}\b/g, name => {
    const value = values[name]
    if (value === undefined) throw new Error(`README.md has a placeholder ${name}`)
    return value
  })
  const lines = filled.split('\n').flatMap(line => line.split(' && '))
  return lines.filter(line => line !== '').map(line => line.split(' '))
}
