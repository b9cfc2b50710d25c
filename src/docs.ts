/** The pages of docs/ that are made from tables in the code: `stoker docs` writes them, `stoker docs --check` compares. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { configMarkdown } from './config.ts'
import { errorTable } from './errors.ts'
import { metricsMarkdown } from './export/metrics.ts'
import { injectionMarkdown } from './inject/markdown.ts'

/** Each page's text by its path below the repository's root. */
export function generatedDocs(): Map<string, string> {
  return new Map([
    ['docs/config.md', configMarkdown()],
    ['docs/errors.md', errorsMarkdown()],
    ['docs/injection.md', injectionMarkdown()],
    ['docs/metrics.md', metricsMarkdown()],
  ])
}

/** Throws what node:fs throws. */
export function writeDocs(root: string): void {
  for (const [path, text] of generatedDocs()) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}

/** The paths of pages that are missing or differ from what `writeDocs` would write. */
export function checkDocs(root: string): string[] {
  return [...generatedDocs()].flatMap(([path, text]) =>
    read(join(root, path)) === text ? [] : path,
  )
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function errorsMarkdown(): string {
  const sections = Object.entries(errorTable).map(([code, { says, remedy, retry }]) => {
    const next = retry ? 'The agent tries again by itself.' : 'The agent does not try again.'
    return [`## ${code}`, says, remedy, next].join('\n\n')
  })
  const introduction =
    'Each error carries one of these codes, in the log and in `/decisions`, and its message names the place, the value and the remedy. This page is made from `src/errors.ts`.'
  return `${['# Errors', introduction, ...sections].join('\n\n')}\n`
}
