/** With all of everything chosen, as Grafana would put it in. Also bundled into the page that test/real/pictures draws. */
export function filledIn(expression: string, rateInterval: string): string {
  return expression.replaceAll('$__rate_interval', rateInterval).replaceAll(/"\$[a-z]\w*"/g, '".*"')
}
