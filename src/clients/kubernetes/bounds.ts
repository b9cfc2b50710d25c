/** How much would have been granted, by the numbers in what refuses memory. */
import type { MemoryResources } from '../../model.ts'
import { parseBytes } from '../../quantity.ts'

export interface Bounds {
  /** The most that would have been granted of what was too much; undefined: not said. */
  ceiling: MemoryResources
  /** The least that would have been granted of what was too little. */
  floor: MemoryResources
}

type Kind = 'request' | 'limit'

/** What was wanted less what the API server's message says was too much of it, or more by what was too little. */
export function boundsOf(message: string, wanted: MemoryResources): Bounds {
  const less = (bytes: number | undefined, excess: number | undefined) =>
    bytes === undefined || excess === undefined ? undefined : Math.max(0, bytes - excess)
  const bound = (excessOf: (kind: Kind) => number | undefined): MemoryResources => ({
    requestBytes: less(wanted.requestBytes, excessOf('request')),
    limitBytes: less(wanted.limitBytes, excessOf('limit')),
  })
  return {
    ceiling: bound(kind => tooMuch(message, kind)),
    floor: bound(kind => rangeExcess(message, 'minimum', kind)),
  }
}

function tooMuch(message: string, kind: Kind): number | undefined {
  const resource = kind === 'request' ? '(?:requests\\.)?memory' : 'limits\\.memory'
  return (
    (kind === 'request' ? nodeExcess(message) : undefined) ??
    quotaExcess(message, resource) ??
    rangeExcess(message, 'maximum', kind)
  )
}

/** By how much a request is more than the node has room for; the API server and the kubelet say it alike. */
export function nodeExcess(message: string): number | undefined {
  const said = /memory, requested: (\d+),(?: used: (\d+),)? (?:allocatable|capacity): (\d+)/
  const [found, requested, used = 0, room] = said.exec(message) ?? []
  return found === undefined ? undefined : Number(requested) + Number(used) - Number(room)
}

function quotaExcess(message: string, resource: string): number | undefined {
  const amount = (part: string) => {
    const found = new RegExp(`${part}: (?:[^:]*,)?${resource}=([^, ]+)`).exec(message)
    return found?.[1] === undefined ? undefined : parseBytes(found[1])
  }
  const [more, used, most] = [amount('requested'), amount('used'), amount('limited')]
  if (more === undefined || used === undefined || most === undefined) return undefined
  return used + more - most
}

/** Below 0 for what is below a minimum. */
function rangeExcess(
  message: string,
  bound: 'minimum' | 'maximum',
  kind: Kind,
): number | undefined {
  const said = new RegExp(`${bound} memory usage per \\w+ is ([^ ,]+), but ${kind} is ([^ ,\\]]+)`)
  const [, allowed = '', wanted = ''] = said.exec(message) ?? []
  const [allowedBytes, wantedBytes] = [parseBytes(allowed), parseBytes(wanted)]
  if (allowedBytes === undefined || wantedBytes === undefined) return undefined
  return wantedBytes - allowedBytes
}
