/** The golden pods: shapes of pods, each with what injection is to make of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Options } from '../../src/inject/inject.ts'
import { readPod, type Pod } from '../../src/inject/pod.ts'

export const folder = 'test/inject/golden'

/** The installation that the golden pods are injected by. */
export const options: Options = {
  image: 'registry.example/stoker:0.1.0',
  pullPolicy: 'IfNotPresent',
  defaults: { 'max-memory': '16Gi' },
}

export interface Shape {
  name: string
  pod: Pod
}

export function namesOf(kind: 'pod' | 'expected'): string[] {
  const ending = `.${kind}.yaml`
  const files = readdirSync(folder).filter(file => file.endsWith(ending))
  return files.map(file => file.slice(0, -ending.length)).toSorted()
}

export function asPod(value: unknown): Pod {
  const read = readPod(value)
  if ('problems' in read) throw new Error(read.problems.join('; '))
  return read.pod
}

export function shapes(): Shape[] {
  return namesOf('pod').map(name => {
    const text = readFileSync(`${folder}/${name}.pod.yaml`, 'utf8')
    return { name, pod: asPod(parse(text)) }
  })
}

/** A pod of a thousand containers, half a megabyte of it. */
export function largePod(): Pod {
  const sidecar = (_: unknown, index: number) => ({
    name: `sidecar-${index}`,
    image: `registry.example/sidecar:${index}`,
    args: ['--long', 'x'.repeat(400)],
    resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1m', memory: '1Mi' } },
  })
  const torchserve = {
    name: 'torchserve',
    image: 'pytorch/torchserve:0.12.0-cpu',
    resources: { limits: { cpu: '2', memory: '4Gi' } },
  }
  return asPod({
    metadata: { name: 'resnet' },
    spec: { containers: [...Array.from({ length: 999 }, sidecar), torchserve] },
  })
}
