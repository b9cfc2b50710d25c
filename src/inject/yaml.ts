/** A YAML document that can be patched and keeps its comments. It is read as kubectl reads it, by YAML 1.1. */
import {
  Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  visit,
  type Node,
  type Tags,
} from 'yaml'
import type { Json, Operation } from './draft.ts'

interface Yaml {
  value: Json
  /** The text after the operations. */
  patched(operations: readonly Operation[]): string
}

/** Times stay texts: Kubernetes has none in YAML's sense. */
const customTags = (tags: Tags): Tags =>
  tags.filter(
    tag =>
      typeof tag === 'string' ||
      (tag.format !== 'TIME' && tag.tag !== 'tag:yaml.org,2002:timestamp'),
  )
const rules = { version: '1.1', merge: true, customTags } as const

/** The document, or what is wrong with it and in which line; `firstLine` is its own in the file. */
export function readYaml(text: string, firstLine: number): Yaml | { fault: string } {
  const document = parseDocument(text, { ...rules, prettyErrors: true })
  const [broken] = document.errors
  if (broken) {
    const [start] = broken.linePos ?? []
    const line = start ? `line ${firstLine + start.line - 1}: ` : ''
    return { fault: `${line}${broken.message.replace(/ at line[\s\S]*/, '')}` }
  }
  try {
    // As JSON has it: Kubernetes knows no key but texts.
    const value: Json = JSON.parse(JSON.stringify(document.toJS() ?? null))
    return { value, patched: operations => patched(text, document, value, operations) }
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) }
  }
}

function patched(
  text: string,
  document: Document.Parsed,
  value: Json,
  operations: readonly Operation[],
): string {
  // What an alias stands for may be changed in one of its places only, so that each gets a copy.
  const changed = hasAliases(document) ? withoutAliases(value) : document
  for (const operation of operations) apply(changed, operation)
  const indent = /^( +)\S/m.exec(text)?.[1]?.length ?? 2
  const written = changed.toString({
    lineWidth: 0,
    singleQuote: true,
    flowCollectionPadding: /[{[] \S/.test(text),
    indent,
    indentSeq: !/^( *)[^\s#-].*:\r?\n\1- /m.test(text),
  })
  return text.startsWith('---') && !written.startsWith('---') ? `---\n${written}` : written
}

function hasAliases(document: Document.Parsed): boolean {
  let found = false
  visit(document, {
    Node(_key, node) {
      found ||= isAlias(node)
    },
  })
  return found
}

function withoutAliases(value: Json): Document {
  const document = new Document(null, rules)
  document.contents = nodeOf(document, value)
  return document
}

function apply(document: Document, operation: Operation): void {
  const path = operation.path
    .split('/')
    .slice(1)
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const last = path.pop() ?? ''
  const parent = path.reduce<unknown>(
    (node, step) =>
      isCollection(node) ? node.get(isSeq(node) ? Number(step) : step, true) : undefined,
    document.contents,
  )
  if (!isMap(parent) && !isSeq(parent)) throw new Error(`There is no ${operation.path}`)
  // An empty list or mapping is written in brackets; what is added to it needs lines.
  if (parent.items.length === 0) parent.flow = false
  if (operation.op === 'remove') parent.delete(isSeq(parent) ? Number(last) : last)
  else if (isMap(parent)) parent.set(last, nodeOf(document, operation.value))
  else {
    const index = last === '-' ? parent.items.length : Number(last)
    parent.items.splice(index, 0, nodeOf(document, operation.value))
  }
}

/** A new node whose texts no reader takes for times. */
function nodeOf(document: Document, value: Json): Node {
  const node = document.createNode(value)
  visit(node, {
    Scalar(_key, scalar) {
      if (
        isScalar(scalar) &&
        typeof scalar.value === 'string' &&
        /^\d[\d:.TtZz +-]*$/.test(scalar.value)
      )
        scalar.type = 'QUOTE_SINGLE'
    },
  })
  return node
}
