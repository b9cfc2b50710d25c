import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import type { Manifest } from './client.ts'

/** The objects of a YAML file. */
export function readManifests(file: string): Manifest[] {
  const documents = parseAllDocuments(readFileSync(file, 'utf8'))
  return documents.map(document => document.toJS() as Manifest)
}
