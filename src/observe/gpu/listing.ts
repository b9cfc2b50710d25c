/** Reads what `nvidia-smi -L` writes: the only place where MIG devices have their profiles. */

/** A line `MIG 1g.10gb  Device  0: (UUID: MIG-…)` below its GPU. */
export interface ListedSlice {
  /** UUID of the GPU it is on. */
  parent: string
  index: number
  /** Of the GPU instance, as `3g.40gb` or `1g.10gb+me`; absent from drivers before R470. */
  profile: string | undefined
}

const gpuLine = /^GPU\s+\d+:.*\(UUID:\s+(GPU-[^)\s]+)\)/
/** `1c.3g.40gb` is one compute slice of a 3g.40gb. */
const sliceLine = /^\s+MIG\s+(?:(?:\d+c\.)?(\d+g\.\d+gb(?:[+-][\w.,]+)?)\s+)?Device\s+(\d+):/

export function readListing(text: string): ListedSlice[] {
  let parent: string | undefined
  return text.split('\n').flatMap(line => {
    parent = gpuLine.exec(line)?.[1] ?? parent
    const slice = sliceLine.exec(line)
    if (!slice || parent === undefined) return []
    return [{ parent, index: Number(slice[2]), profile: slice[1] }]
  })
}
