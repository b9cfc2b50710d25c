/** A recorded run as an SVG: memory above, load and workers below, over the same seconds. */
import { chart, type Line } from './chart.ts'
import { needOf, type Sample } from './memory-record.ts'

const MEMORY = { height: 260, step: 400, show: (value: number) => `${value} MiB` }
const WORKERS = { height: 130, step: 4, show: String }

interface Run {
  samples: readonly Sample[]
  /** The rate in requests a second from each time on. */
  loads: readonly { atMs: number; rps: number }[]
  /** What the agent decided to change. */
  marks: readonly { atMs: number; kind: string }[]
}

export function draw({ samples, loads, marks }: Run): string {
  const line = (name: string, colour: string, value: (sample: Sample) => number): Line => ({
    name,
    colour,
    points: samples.map(sample => ({ atMs: sample.atMs, value: value(sample) })),
  })
  const rate = ({ atMs }: Sample) => loads.findLast(load => load.atMs <= atMs)?.rps ?? 0
  return chart({
    caption:
      'Dotted: the agent decides to raise or to lower the memory, to grow or to shrink the workers',
    panels: [
      {
        ...MEMORY,
        lines: [
          line('limit, as the cgroup has it', '#c2491a', ({ enforced }) => enforced),
          line('request', '#1b6fb3', ({ request }) => request),
          { ...line('what the workers need', '#7a5aa8', needOf), dash: '4 3' },
          line('in use', '#4a8f3c', ({ usage }) => usage),
        ],
      },
      {
        ...WORKERS,
        lines: [
          { ...line('requests a second', '#8a8a8a', rate), ownStep: 10 },
          line('workers', '#1b6fb3', ({ workers }) => workers),
        ],
      },
    ],
    marks: marks.map(({ atMs, kind }) => ({
      atMs,
      text: kind,
      colour: kind === 'raise' || kind === 'lower' ? '#c2491a' : '#1b6fb3',
    })),
  })
}
