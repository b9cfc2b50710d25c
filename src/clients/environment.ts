/** What TorchServe was started with, as Linux shows it to those who share its PID namespace, its user id and its group id. */
import { readFileSync } from 'node:fs'

/** Of TorchServe's environment, given the pid of one of its workers, the named variables; undefined where it cannot be seen. */
export type Environment = <Name extends string>(
  workerPid: number,
  names: readonly Name[],
) => Partial<Record<Name, string>> | undefined

export function linuxEnvironment(proc = '/proc'): Environment {
  return (workerPid, names) => {
    const java = /^PPid:\s+(\d+)$/m.exec(read(`${proc}/${workerPid}/status`) ?? '')?.[1]
    const text = java === undefined ? undefined : read(`${proc}/${java}/environ`)
    return text === undefined ? undefined : variablesOf(text, names)
  }
}

/** An environment holds secrets: nothing but what is asked for leaves this function. */
function variablesOf<Name extends string>(text: string, names: readonly Name[]) {
  const found: Partial<Record<Name, string>> = {}
  for (const variable of text.split('\0')) {
    const name = names.find(each => variable.startsWith(`${each}=`))
    if (name !== undefined) found[name] = variable.slice(name.length + 1)
  }
  return found
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
