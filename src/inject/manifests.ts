/** Changes the pods in a text of Kubernetes manifests, YAML or JSON; documents without a change stay as they are, to the byte. */
import { applyPatch } from 'rfc6902'
import type { Json, Operation } from './draft.ts'
import type { Injection } from './inject.ts'
import { readPod, type Pod } from './pod.ts'
import { workloadsIn, type Workload } from './workloads.ts'
import { readYaml } from './yaml.ts'

export interface Changed {
  text: string
  /** One for each pod or template of pods: the document’s number, its name, and what became of it. */
  lines: readonly string[]
  /** One for each thing that is wrong; `text` is of no use where there are any. */
  faults: readonly string[]
}

type Change = (pod: Pod) => Injection

/** The documents are those that kubectl would see. */
export function changeManifests(text: string, change: Change): Changed {
  const json = parsedJson(text)
  if (json !== undefined) return inJson(text, json, change)
  const chunks = text.split(/^(?=---(?:\s|$))/m)
  let [documents, line] = [0, 1]
  const parts = chunks.map(chunk => {
    if (hasContent(chunk)) documents += 1
    const yaml = readYaml(chunk, line)
    line += chunk.split('\n').length - 1
    return inYaml(chunk, yaml, `document ${documents}`, change)
  })
  return {
    text: parts.map(part => part.text).join(''),
    lines: parts.flatMap(part => part.lines),
    faults: parts.flatMap(part => part.faults),
  }
}

/** Whether there is more than comments. */
const hasContent = (chunk: string) => /^\s*[^\s#]/m.test(chunk.replace(/^---(\s+#.*)?$/m, ''))

function parsedJson(text: string): Json | undefined {
  if (!/^\s*\{/.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function inJson(text: string, document: Json, change: Change): Changed {
  const { operations, ...told } = changesOf(document, 'document 1', change)
  if (operations.length === 0) return { text, ...told }
  const copy = structuredClone(document)
  const missed = applyPatch(copy, operations).find(fault => fault !== null)
  if (missed) throw missed
  const indent = /^\s*\{\r?\n( +)/.exec(text)?.[1]?.length ?? 2
  return { text: `${JSON.stringify(copy, null, indent)}\n`, ...told }
}

function inYaml(
  text: string,
  yaml: ReturnType<typeof readYaml>,
  place: string,
  change: Change,
): Changed {
  if ('fault' in yaml) return { text, lines: [], faults: [`${place}, ${yaml.fault}`] }
  const { operations, ...told } = changesOf(yaml.value, place, change)
  return { text: operations.length === 0 ? text : yaml.patched(operations), ...told }
}

/** What is to change in one document, and what to tell of it. */
function changesOf(document: Json, place: string, change: Change) {
  const operations: Operation[] = []
  const lines: string[] = []
  const faults: string[] = []
  for (const workload of workloadsIn(document)) {
    const where = `${place}, ${workload.name}`
    const misplaced = misplacedIn(workload)
    if (misplaced !== undefined) faults.push(`${where}: ${misplaced}`)
    const read = readPod(workload.pod)
    if ('problems' in read) {
      const field = fieldOf(workload)
      faults.push(...read.problems.map(problem => `${where}: ${field}${problem}`))
      continue
    }
    const { outcome, reasons, operations: changes } = change(read.pod)
    operations.push(...changes.map(operation => below(workload, operation)))
    const line = `${where}: ${outcome}: ${reasons.map(reason => reason.message).join('; ')}`
    if (outcome === 'refused') faults.push(line)
    else lines.push(line)
  }
  return { operations, lines, faults }
}

const fieldOf = ({ at }: Workload) =>
  at
    .map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .slice(1) + (at.length > 0 ? '.' : '')

const below = ({ at }: Workload, operation: Operation): Operation => ({
  ...operation,
  path: at.map(step => `/${step}`).join('') + operation.path,
})

function misplacedIn({ at, misplaced }: Workload): string | undefined {
  if (misplaced.length === 0) return undefined
  return `${misplaced.join(', ')} must be on the pod template, at ${at.join('.')}.metadata.annotations`
}
