/** What is seen of the loop, second by second: printed as a table, and drawn. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostNode } from '../cluster/node.ts'
import { chart } from '../chart.ts'
import type { Prometheus } from '../prometheus/prometheus.ts'
import { podsOn, type Pods } from './pods.ts'
import type { Workload } from './workload.ts'

const EVERY_MS = 1_000
const ROW_MS = 5_000

interface Moment extends Omit<Pods, 'targets'> {
  atMs: number
  /** What is sent, in pods. */
  load: number
  /** What the ScaledObject's query gives, in pods; undefined where Prometheus has no answer. */
  demand: number | undefined
  /** Of the Deployment's spec. */
  replicas: number
}

export interface Timeline {
  readonly moments: readonly Moment[]
  last(): Moment
  /** Whether a moment from now on is as `condition` says, within `timeoutMs`. */
  sees(condition: (moment: Moment) => boolean, timeoutMs: number): Promise<boolean>
  /** Something that is done now. */
  mark(text: string): void
  /** All of it as an SVG. */
  drawn(): string
  stop(): Promise<void>
}

interface Seen {
  node: HostNode
  workload: Workload
  prometheus: Prometheus
  query: string
  load: () => number
}

/** Until stopped; tells Prometheus of the pods, too. */
export function startTimeline({ node, workload, prometheus, query, load }: Seen): Timeline {
  const moments: Moment[] = []
  const marks: Parameters<typeof chart>[0]['marks'][number][] = []
  const told: string[] = []
  const startedMs = Date.now()
  let rowMs = 0
  let stopped = false

  const look = async () => {
    const [{ targets, ...pods }, replicas, demand] = await Promise.all([
      podsOn(node),
      workload.replicas(),
      prometheus.value(query).catch(() => undefined),
    ])
    prometheus.discover(targets)
    const moment = { atMs: Date.now(), load: load(), demand, replicas, ...pods }
    moments.push(moment)
    if (moment.atMs - rowMs < ROW_MS && told.length === 0) return
    rowMs = moment.atMs
    print(row(moment, startedMs, told.splice(0).join(', ')))
  }
  const running = (async () => {
    print(HEAD)
    print(HEAD.map(() => '---'))
    while (!stopped) {
      const dueMs = Date.now() + EVERY_MS
      // A call may fail for once on a busy machine; the next look sees the same.
      await look().catch((error: unknown) => print([String(error)]))
      await sleep(Math.max(0, dueMs - Date.now()))
    }
  })()
  return {
    moments,
    last() {
      const moment = moments.at(-1)
      if (!moment) throw new Error('Nothing has been seen yet')
      return moment
    },
    async sees(condition, timeoutMs) {
      const deadlineMs = Date.now() + timeoutMs
      for (let next = moments.length; Date.now() < deadlineMs; await sleep(EVERY_MS / 10))
        while (next < moments.length) {
          const moment = moments[next++]
          if (moment && condition(moment)) return true
        }
      return false
    },
    mark(text) {
      told.push(text)
      marks.push({ atMs: Date.now(), text, isShown: true })
    },
    drawn: () => chart({ panels: panelsOf(moments), marks }),
    async stop() {
      stopped = true
      await running
    },
  }
}

const HEAD = 's,load,demand,replicas,ready,ending,workers,asked MiB,limit MiB,in use MiB,'.split(
  ',',
)

function row(moment: Moment, startedMs: number, told: string): string[] {
  const { load, demand, replicas, ready, ending, workers, asked, enforced, used } = moment
  const second = Math.round((moment.atMs - startedMs) / 1000)
  const amounts = [replicas, ready, ending, workers, asked, enforced, used]
  return [String(second), load.toFixed(1), demand?.toFixed(2) ?? '–', ...amounts.map(String), told]
}

const print = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`)

function panelsOf(moments: readonly Moment[]) {
  const line = (
    name: string,
    colour: string,
    value: (moment: Moment) => number,
    dash?: string,
  ) => ({
    name,
    colour,
    points: moments.map(moment => ({ atMs: moment.atMs, value: value(moment) })),
    ...(dash !== undefined && { dash }),
  })
  return [
    {
      height: 150,
      step: 0.5,
      show: (value: number) => `${value} pods`,
      lines: [
        line('load', '#8a8a8a', ({ load }) => load),
        line('demand, as Prometheus has it', '#c2491a', ({ demand }) => demand ?? NaN),
      ],
    },
    {
      height: 110,
      step: 4,
      show: String,
      lines: [
        line('replicas', '#c2491a', ({ replicas }) => replicas, '4 3'),
        line('pods that are ready', '#1b6fb3', ({ ready }) => ready),
        line('workers', '#4a8f3c', ({ workers }) => workers),
      ],
    },
    {
      height: 170,
      step: 400,
      show: (value: number) => `${value} MiB`,
      lines: [
        line('limit, as the cgroups have it', '#c2491a', ({ enforced }) => enforced),
        line('request', '#1b6fb3', ({ asked }) => asked),
        line('in use', '#4a8f3c', ({ used }) => used),
      ],
    },
  ]
}
