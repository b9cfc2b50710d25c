/** `stoker inject` and `stoker uninject`: manifests in, manifests out. */
import { inject, uninject, type Options } from './inject.ts'
import { changeManifests } from './manifests.ts'

export interface Streams {
  /** `-` is standard input. Rejects with what node:fs rejects with. */
  read: (file: string) => Promise<string>
  /** Standard output. */
  write: (text: string) => void
  /** Standard error, by lines. */
  tell: (line: string) => void
}

/**
 * Reads the files in order and writes them as one stream; all of them, or none if anything is wrong. `options` undefined
 * takes the agent out. Resolves with whether all went well.
 */
export async function changeFiles(
  files: readonly string[],
  options: Options | undefined,
  { read, write, tell }: Streams,
): Promise<boolean> {
  const texts: string[] = []
  const faults: string[] = []
  for (const file of files) {
    const name = file === '-' ? 'standard input' : file
    try {
      const change = options
        ? (pod: Parameters<typeof inject>[0]) => inject(pod, options)
        : uninject
      const changed = changeManifests(await read(file), change)
      texts.push(changed.text)
      for (const line of changed.lines) tell(`${name}, ${line}`)
      faults.push(...changed.faults.map(fault => `${name}, ${fault}`))
      if (changed.lines.length + changed.faults.length === 0) tell(`${name}: no pods in it`)
    } catch (error) {
      faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  for (const fault of faults) tell(fault)
  if (faults.length > 0) {
    tell(
      `Nothing was written: ${faults.length === 1 ? 'there is a fault' : `there are ${faults.length} faults`}.`,
    )
    return false
  }
  write(joined(texts))
  return true
}

function joined(texts: readonly string[]): string {
  return texts.reduce((sum, text) => {
    if (sum === '') return text
    const line = sum.endsWith('\n') ? '' : '\n'
    return `${sum}${line}${text.startsWith('---') ? '' : '---\n'}${text}`
  }, '')
}
