/** What the command line says of every pod: the same flags for `inject` and `webhook`, so that both do the same. */
import { readWishes } from './annotations.ts'
import type { Options } from './inject.ts'

export const optionFlags = {
  image: { type: 'string' },
  'pull-policy': { type: 'string' },
  set: { type: 'string', multiple: true },
} as const

interface Flags {
  image?: string | undefined
  'pull-policy'?: string | undefined
  set?: string[] | undefined
}

const policies = ['Always', 'IfNotPresent', 'Never']

/** Each problem names the flag, its value and what is allowed. */
export function readOptions(
  flags: Flags,
  usualImage: string,
): Options | { problems: readonly string[] } {
  const { image = usualImage, set = [], 'pull-policy': pullPolicy } = flags
  const problems: string[] = []
  if (!/^[\w][\w.:/@-]*$/.test(image))
    problems.push(`--image ${image} must be the name of an image`)
  if (pullPolicy !== undefined && !policies.includes(pullPolicy)) {
    problems.push(`--pull-policy ${pullPolicy} must be ${policies.join(' or ')}`)
  }
  const defaults: Record<string, string> = {}
  for (const setting of set) {
    const [, name, value] = /^([\w-]+)=([\s\S]*)$/.exec(setting) ?? []
    if (name === undefined || value === undefined)
      problems.push(`--set ${setting} must be NAME=VALUE`)
    else defaults[name] = value
  }
  const wishes = readWishes(defaults)
  if ('problems' in wishes) problems.push(...wishes.problems.map(problem => `--set: ${problem}`))
  if (problems.length > 0) return { problems }
  return { image, defaults, ...(pullPolicy !== undefined && { pullPolicy }) }
}
