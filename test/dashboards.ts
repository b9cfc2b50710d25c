/** The dashboards of k8s/chart/files/dashboards, as far as tests look at them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dirname, '../k8s/chart/files/dashboards')

export interface Panel {
  id: number
  type: string
  title: string
  description?: string
  gridPos: { x: number; y: number; w: number; h: number }
  datasource?: { type: string; uid: string }
  targets?: { refId: string; expr: string; legendFormat: string; datasource: { uid: string } }[]
  fieldConfig?: { defaults: { unit?: string } }
}

interface Variable {
  name: string
  type: string
  query: string
}

export interface Dashboard {
  file: string
  uid: string
  links: { url: string }[]
  templating: { list: Variable[] }
  panels: Panel[]
}

export const dashboards: readonly Dashboard[] = readdirSync(folder).map(file => ({
  ...JSON.parse(readFileSync(join(folder, file), 'utf8')),
  file,
}))
