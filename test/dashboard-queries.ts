/** With the values chosen of its variables, all where none is, as Grafana would put them in. */
export function filledIn(
  expression: string,
  rateInterval: string,
  chosen: Readonly<Record<string, string>> = {},
): string {
  return expression
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll(/"\$([a-z]\w*)"/g, (_, name: string) => JSON.stringify(chosen[name] ?? '.*'))
}
