/** What is seen of a pod's memory from outside, ten times a second, held against what the agent says of it. Amounts are MiB. */
import type { Test } from 'tap'
import type { MemoryResources, ResizeReason } from '../../src/model.ts'
import type { Told } from './agent.ts'
import type { Body } from './cluster/client.ts'
import type { Node, Process } from './cluster/foundation.ts'
import { pathOf, statusOf, type PodStatus } from './cluster/pods.ts'
import { NS, type Serving } from './memory-pod.ts'
import { until } from './until.ts'

const EVERY_MS = 100
const ASK_AGENT_MS = 500
const MIB = 2 ** 20
/** What the agent lets lie, and the time in which it decides on it. */
const SPARE_MIB = 40

export interface Sample {
  atMs: number
  /** As the spec has them. */
  request: number
  limit: number
  /** What the kubelet has accepted. */
  allocated: number
  /** Of the cgroups; NaN while the container does not run. */
  enforced: number
  podEnforced: number
  usage: number
  /** Processes that serve the model, and the most that any of them has held so far. */
  workers: number
  worker: number
  /** What every other process in the container holds. */
  base: number
  restarts: number
  terminating: boolean
  /** Of the condition that the kubelet has put on the pod, `InProgress` where it gives none; '' without a condition. */
  condition: string
}

/** One resize of /decisions. */
interface ToldResize {
  atMs: number
  reason: ResizeReason
  because: string
  inputs: { need: number | null; wanted: number | null; ceiling: number | null }
  action: { kind: string; to: MemoryResources } | null
  outcomes: { kind: string; code?: string }[]
}

export interface Recorder {
  readonly samples: readonly Sample[]
  /** Oldest first; those of agents that have ended, too, as far as they were asked. */
  resizes(): ToldResize[]
  decisions(): Told[]
  last(): Sample
  /** Whether a sample from now on is as `condition` says, within `timeoutMs`. */
  sees(condition: (sample: Sample) => boolean, timeoutMs: number): Promise<boolean>
  stop(): Promise<void>
}

/** Samples until stopped; what changes goes into the test's output. */
export function record(t: Test, node: Node, serving: Serving, everyMs = EVERY_MS): Recorder {
  const samples: Sample[] = []
  const resizes = new Map<number, ToldResize>()
  const decisions = new Map<string, Told>()
  const startMs = Date.now()
  let stopped = false
  let askedMs = 0
  let worker = 0

  const look = async () => {
    const reply = await node.admin.call('GET', pathOf(NS, serving.name))
    if (reply.status !== 200) return
    const sample = await sampleOf(node, serving.name, reply.body, worker)
    worker = sample.worker
    const before = samples.at(-1)
    samples.push(sample)
    if (!before || shown(before) !== shown(sample))
      t.comment(`${sample.atMs - startMs} ms: ${shown(sample)}, ${sample.usage} in use`)
  }
  const ask = async () => {
    askedMs = Date.now()
    const url = new URL('/decisions', serving.page)
    const reply = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    const told = (await reply.json()) as { decisions: Told[]; resizes: ToldResize[] }
    for (const each of told.resizes) {
      if (!resizes.has(each.atMs)) t.comment(`agent: ${each.because}`)
      resizes.set(each.atMs, each)
    }
    for (const each of told.decisions) decisions.set(`${each.atMs} ${each.model}`, each)
  }
  const running = (async () => {
    while (!stopped) {
      const dueMs = Date.now() + everyMs
      await look()
      // An agent that was killed does not answer.
      if (Date.now() - askedMs >= ASK_AGENT_MS) await ask().catch(() => undefined)
      await new Promise(resolve => setTimeout(resolve, Math.max(0, dueMs - Date.now())))
    }
  })()
  const inOrder = <T extends { atMs: number }>(all: Iterable<T>) =>
    [...all].toSorted((one, other) => one.atMs - other.atMs)
  const last = () => {
    const sample = samples.at(-1)
    if (!sample) throw new Error('Nothing has been seen yet')
    return sample
  }
  return {
    samples,
    last,
    resizes: () => inOrder(resizes.values()),
    decisions: () => inOrder(decisions.values()),
    async sees(condition, timeoutMs) {
      let seen = samples.length
      return until(
        () => samples.slice(seen, (seen = samples.length)).some(condition),
        timeoutMs,
        10,
      )
    },
    async stop() {
      stopped = true
      await running
    },
  }
}

/** All but what moves all the time. */
function shown(sample: Sample): string {
  const { request, limit, allocated, enforced, podEnforced, workers, restarts } = sample
  const { condition, terminating } = sample
  const amounts = `asks ${request}/${limit}, allocated ${allocated}, enforced ${enforced} (pod ${podEnforced})`
  const states = [condition, terminating && 'terminating', restarts > 0 && `${restarts} restarts`]
  return [amounts, `${workers} workers`, ...states.filter(state => state)].join(', ')
}

async function sampleOf(node: Node, name: string, pod: Body, before: number): Promise<Sample> {
  const { containers } = pod['spec'] as { containers: { resources: Resources }[] }
  const { requests, limits } = containers[0]?.resources ?? {}
  const status = statusOf(pod)
  const container = status.containerStatuses?.[0]
  const place = { namespace: NS, pod: name, container: 'torchserve' }
  const memory = await node.memory(place).catch(() => undefined)
  const processes = ownMemory(memory?.processes ?? [])
  const ofWorkers = processes.filter(({ command }) => command.includes('model_service_worker'))
  const sum = (all: typeof processes) =>
    Math.round(all.reduce((total, { held }) => total + held, 0) / MIB)
  return {
    atMs: Date.now(),
    request: mebibytes(requests?.memory),
    limit: mebibytes(limits?.memory),
    allocated: mebibytes(container?.allocatedResources?.['memory']),
    enforced: Math.round((memory?.limit ?? NaN) / MIB),
    podEnforced: Math.round((memory?.podLimit ?? NaN) / MIB),
    usage: Math.round((memory?.usage ?? NaN) / MIB),
    workers: ofWorkers.length,
    worker: Math.max(before, ...ofWorkers.map(({ held }) => Math.round(held / MIB))),
    base: sum(processes) - sum(ofWorkers),
    restarts: container?.restartCount ?? 0,
    terminating: pod.metadata?.deletionTimestamp !== undefined,
    condition: conditionOf(status),
  }
}

type Resources = { requests: { memory: string }; limits: { memory: string } }

function conditionOf({ conditions = [] }: PodStatus): string {
  const pending = conditions.find(({ type }) => type === 'PodResizePending')
  if (pending) return pending.reason ?? 'Pending'
  const acting = conditions.find(({ type }) => type === 'PodResizeInProgress')
  return acting ? acting.reason || 'InProgress' : ''
}

/** Kubernetes writes whole MiB as such, or else bytes. */
function mebibytes(quantity = ''): number {
  const amount = Number.parseInt(quantity)
  return quantity.endsWith('Mi') ? amount : quantity.endsWith('Gi') ? amount * 1024 : amount / MIB
}

/** Without those that were just forked, and are about to become another program: they share their parent's memory. */
function ownMemory(processes: readonly Process[]): Process[] {
  const commands = new Map(processes.map(({ pid, command }) => [pid, command]))
  return processes.filter(({ command, parent }) => commands.get(parent) !== command)
}

/** Asserts that at no instant what the processes need, by the dearest worker so far, was above what was enforced. */
export function neverWithoutMemory(t: Test, samples: readonly Sample[]) {
  const running = samples.filter(({ enforced }) => !Number.isNaN(enforced))
  const without = running.filter(each => needOf(each) > each.enforced)
  t.ok(running.length > 10, `seen at ${running.length} instants`)
  t.same(without.slice(0, 3), [], 'no worker was without its memory')
}

/** What is held beside the workers, and for each of these what the dearest so far has held. */
export function needOf({ base, workers, worker }: Sample): number {
  return base + workers * worker
}

/** Asserts that every rise of the spec was decided, with a reason, and that no wish stood above what was granted for longer than `wishMs`. */
export function neverWithoutReason(t: Test, { samples, resizes }: Recorder, wishMs: number) {
  const ordered = resizes().filter(({ action }) => action !== null)
  const rises = samples
    .slice(1)
    .filter((sample, index) => sample.request > (samples[index]?.request ?? 0))
  const unexplained = rises.filter(
    ({ request }) =>
      !ordered.some(({ action }) => (action?.to.requestBytes ?? 0) === request * MIB),
  )
  t.same(unexplained, [], `each of ${rises.length} rises of the request has its decision`)
  t.ok(
    longest(samples, ({ request, allocated }) => request > allocated) <= wishMs,
    `no wish stood above what was granted for longer than ${wishMs} ms`,
  )
}

/** The longest time that `condition` held without a break. */
function longest(samples: readonly Sample[], condition: (sample: Sample) => boolean): number {
  let sinceMs: number | undefined
  let most = 0
  for (const sample of samples) {
    sinceMs = condition(sample) ? (sinceMs ?? sample.atMs) : undefined
    if (sinceMs !== undefined) most = Math.max(most, sample.atMs - sinceMs)
  }
  return most
}

/** Whether the request comes down to what the agent says is needed, within `timeoutMs`. */
export async function comesDown(recorder: Recorder, timeoutMs: number): Promise<boolean> {
  return recorder.sees(({ request }) => {
    const need = recorder.resizes().at(-1)?.inputs.need ?? 0
    return request * MIB <= need + SPARE_MIB * MIB
  }, timeoutMs)
}
