/** A query that cannot be answered; `message` names the parameter, its value and what is allowed. */
class QueryError extends Error {
  readonly statusCode = 400
  readonly code = 'QUERY_INVALID'
  override readonly name = 'QueryError'
}

/** The query's parameters as strings. Throws QueryError for unknown and repeated ones. */
export function readQuery<Name extends string>(
  raw: unknown,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const query: Partial<Record<Name, string>> = {}
  for (const [key, value] of Object.entries(raw ?? {})) {
    const name = names.find(known => known === key)
    if (name === undefined)
      throw new QueryError(
        `Unknown parameter '${shorten(key)}'; allowed here: ${names.join(', ') || 'none'}.`,
      )
    if (typeof value !== 'string') throw new QueryError(`Parameter '${name}' is given twice.`)
    query[name] = value
  }
  return query
}

/** `text` as a whole number within the bounds, `fallback` when it is not given. Throws QueryError. */
export function wholeNumber(
  name: string,
  text: string | undefined,
  { min, max, fallback }: { min: number; max: number; fallback: number },
): number {
  if (text === undefined) return fallback
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
  if (value >= min && value <= max) return value
  throw new QueryError(
    `Parameter '${name}' must be a whole number from ${min} to ${max}, not '${shorten(text)}'.`,
  )
}

/** `text` if it is one of the known values. Throws QueryError. */
export function oneOf(name: string, text: string | undefined, known: ReadonlySet<string>) {
  if (text === undefined || known.has(text)) return text
  const list = [...known].slice(0, 20).join(', ') || 'none yet'
  throw new QueryError(`Parameter '${name}': there is no '${shorten(text)}'. Known: ${list}.`)
}

const shorten = (text: string) => (text.length > 60 ? `${text.slice(0, 60)}…` : text)
