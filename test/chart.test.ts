/** What of the chart can be held without helm; the rest is in test/real/suites/inject.ts. */
import { readFileSync } from 'node:fs'
import { Ajv, type AnySchema } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'

const read = (file: string): unknown => parse(readFileSync(`k8s/chart/${file}`, 'utf8'))

t.test('the chart is of the program’s version', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.match(read('Chart.yaml'), { version, appVersion: version })
  t.match(readFileSync('k8s/policies/inject-parameters.yaml', 'utf8'), `image: stoker:${version}\n`)
})

t.test('the schema knows every value, and nothing else', async t => {
  const { $schema: _, ...schema } = JSON.parse(readFileSync('k8s/chart/values.schema.json', 'utf8'))
  const validate = new Ajv({ allowUnionTypes: true }).compile(schema as AnySchema)
  const values = read('values.yaml')
  t.ok(validate(values), JSON.stringify(validate.errors))
  t.same(
    leaves(values).filter(path => !isIn(schema, path)),
    [],
  )
  for (const file of ['values-ha.yaml', 'values-policy.yaml']) {
    t.ok(validate(read(file)), file)
    const known = new Set(leaves(values).map(String))
    t.same(
      leaves(read(file)).filter(path => !known.has(String(path))),
      [],
      file,
    )
  }
  const wrong = [
    { webhook: { replica: 3 } },
    { mode: 'both' },
    { agent: { settings: { 'agent-memory': 'lots' } } },
    { webhook: { certificate: { caBundle: 'MII' } } },
    { namespaces: ['A'] },
    { deletionCost: { serviceAccounts: [{ namespace: 'models' }] } },
  ]
  for (const each of wrong) t.notOk(validate(each), JSON.stringify(each))
})

/** The paths of everything that is no mapping, or an empty one. */
function leaves(value: unknown, path: string[] = []): string[][] {
  const members = Object.entries(Object(value))
  if (typeof value !== 'object' || Array.isArray(value) || members.length === 0) return [path]
  return members.flatMap(([name, member]) => leaves(member, [...path, name]))
}

interface Schema {
  properties?: Record<string, Schema>
  additionalProperties?: unknown
}

/** Whether the schema has a property of its own for each step, or is open there. */
function isIn(schema: Schema | undefined, [step, ...rest]: string[]): boolean {
  if (step === undefined) return schema !== undefined
  const next = schema?.properties?.[step]
  return next ? isIn(next, rest) : schema?.additionalProperties !== false
}
