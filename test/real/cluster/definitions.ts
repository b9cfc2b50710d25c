/** Custom resources of others, as their own Go modules define them; the project holds no copies. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MissingTool } from '../missing.ts'
import type { Body, Client } from './client.ts'
import { readManifests } from './manifests.ts'

const run = promisify(execFile)
const DOWNLOAD_MS = 120_000
const ESTABLISHED_MS = 10_000

interface Module {
  path: string
  version: string
  /** Files with CustomResourceDefinitions. */
  definitions: readonly string[]
}

export const keda: Module = {
  path: 'github.com/kedacore/keda/v2',
  version: 'v2.21.0',
  definitions: ['scaledobjects', 'triggerauthentications'].map(
    name => `config/crd/bases/keda.sh_${name}.yaml`,
  ),
}

export const prometheusOperator: Module = {
  path: 'github.com/prometheus-operator/prometheus-operator',
  version: 'v0.93.0',
  definitions: ['podmonitors', 'prometheusrules'].map(
    name => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
  ),
}

/** Karpenter carries the definition of CapacityBuffers that it shares with the cluster-autoscaler. */
export const karpenter: Module = {
  path: 'sigs.k8s.io/karpenter',
  version: 'v1.14.1',
  definitions: ['pkg/apis/crds/autoscaling.x-k8s.io_capacitybuffers.yaml'],
}

export const certManager: Module = {
  path: 'github.com/cert-manager/cert-manager',
  version: 'v1.21.1',
  definitions: ['certificates', 'issuers'].map(name => `deploy/crds/cert-manager.io_${name}.yaml`),
}

interface Scaler {
  type: string
  parameters: { name: string }[]
}

/** What KEDA reads of a trigger's metadata and authentication, by the trigger's type; the definition takes any name. */
export async function triggerParameters(): Promise<Map<string, Set<string>>> {
  const file = join(await download(keda), 'schema/generated/scalers-schema.json')
  const { scalers } = JSON.parse(readFileSync(file, 'utf8')) as { scalers: Scaler[] }
  return new Map(
    scalers.map(({ type, parameters }) => [type, new Set(parameters.map(({ name }) => name))]),
  )
}

/** The module with all the definitions in its folder of these. */
export async function allOf(module: Module): Promise<Module> {
  const place = dirname(module.definitions[0] ?? '')
  const files = readdirSync(join(await download(module), place))
  const definitions = files.filter(file => file.endsWith('.yaml')).map(file => join(place, file))
  return { ...module, definitions }
}

/** Defines them on an API server, and waits until it serves them. Throws MissingTool without go, or what go says. */
export async function defineResources(admin: Client, ...modules: readonly Module[]): Promise<void> {
  for (const module of modules) {
    const folder = await download(module)
    for (const file of module.definitions) {
      for (const definition of readManifests(join(folder, file))) {
        await admin.apply(definition)
        await admin.waitFor(await admin.pathOf(definition), isEstablished, ESTABLISHED_MS)
      }
    }
  }
}

function isEstablished({ body: { status } }: { body: Body }): boolean {
  const { conditions } = Object(status) as { conditions?: Condition[] | null }
  return conditions?.some(each => each.type === 'Established' && each.status === 'True') ?? false
}

interface Condition {
  type: string
  status: string
}

/** The folder that the Go client unpacks the module into, once. */
export async function download({ path, version }: Module): Promise<string> {
  try {
    const { stdout } = await run('go', ['mod', 'download', '-json', `${path}@${version}`], {
      cwd: import.meta.dirname,
      timeout: DOWNLOAD_MS,
    })
    return (JSON.parse(stdout) as { Dir: string }).Dir
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new MissingTool('go is needed: install it from https://go.dev/dl and put it on PATH')
    throw error
  }
}
