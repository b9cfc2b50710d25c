/** Leaves the names of processes out of what nvidia-smi writes: anybody can give them any text, and nobody reads them. */

const START = '<process_name>'
const END = '</process_name>'

/** For one run. Looks at each character once, however the text is cut into pieces. */
export class NameFilter {
  #inside = false
  #rest = ''

  /** What is to be read of the next piece: the tags of a name stay. */
  pass(piece: string): string {
    let left = this.#rest + piece
    let kept = ''
    for (;;) {
      const marker = this.#inside ? END : START
      const at = left.indexOf(marker)
      if (at === -1) {
        const from = left.length - begun(left, marker)
        if (!this.#inside) kept += left.slice(0, from)
        this.#rest = left.slice(from)
        return kept
      }
      const end = at + marker.length
      kept += this.#inside ? marker : left.slice(0, end)
      left = left.slice(end)
      this.#inside = !this.#inside
    }
  }
}

/** How many characters at the end of the text may be the beginning of the marker. */
function begun(text: string, marker: string): number {
  for (let length = Math.min(marker.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(marker.slice(0, length))) return length
  }
  return 0
}
