/** Names that begin with `STOKER_` and are not settings: Kubernetes’ own, and mistakes. */

const protocol = /_PORT_\d+_(TCP|UDP|SCTP)/.source
const address = /^[\d.]+$|^[\da-f:]+$/i

/** Suffix of the name, and form of the value. Source: Kubernetes, pkg/kubelet/envvars/envvars.go. */
const serviceLinks: readonly (readonly [name: RegExp, value: RegExp])[] = [
  [/_SERVICE_HOST$/, address],
  [/_SERVICE_PORT(_[A-Z\d_]+)?$/, /^\d+$/],
  [new RegExp(`(_PORT|${protocol})$`), /^(tcp|udp|sctp):\/\//],
  [new RegExp(`${protocol}_PROTO$`), /^(tcp|udp|sctp)$/],
  [new RegExp(`${protocol}_PORT$`), /^\d+$/],
  [new RegExp(`${protocol}_ADDR$`), address],
]

/**
 * Whether Kubernetes set this variable for a Service called `stoker` or `stoker-…` in the pod’s namespace. The value counts
 * too: `STOKER_LISTEN_PORT` is a setting, and is Kubernetes’ when a Service is called `stoker-listen`.
 */
export function isServiceLink(name: string, value: string): boolean {
  return serviceLinks.some(link => link[0].test(name) && link[1].test(value))
}

/** The known names that `name` may stand for: those spelt most nearly so, or else those with all of its words. */
export function similar(name: string, known: readonly string[]): string[] {
  const distances = known.map(other => edits(spelling(name), spelling(other)))
  const least = Math.min(...distances)
  if (least <= 2) return known.filter((_, index) => distances[index] === least)
  return known.filter(other => words(name).every(word => words(other).includes(word)))
}

const spelling = (name: string) => name.replaceAll('_', '').toLowerCase()
const words = (name: string) => name.split(/_|(?=[A-Z][a-z])/).map(word => word.toLowerCase())

/** Levenshtein’s distance: how many letters to add, drop or change. */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  let left = to.length
  for (const letter of from) {
    let diagonal = NaN
    row = row.map((above, column) => {
      const changed = letter === to[column - 1] ? diagonal : diagonal + 1
      left = column === 0 ? above + 1 : Math.min(left + 1, above + 1, changed)
      diagonal = above
      return left
    })
  }
  return left
}
