import type { Clock } from './clock.ts'
import { decide, watchesPod, type Policies } from './decide/decide.ts'
import { emptyMemory, type Memory } from './decide/memory.ts'
import type {
  Action,
  CostDecision,
  CostOutcome,
  Decision,
  Description,
  Drained,
  Observation,
  Outcome,
  PoolKey,
  ResizeAction,
  ResizeDecision,
  ResizeOutcome,
  Worker,
} from './model.ts'

/** What the loop needs from the world. */
export interface Ports {
  clock: Clock
  policies: Policies
  /** Looks; never rejects, since what cannot be read is a value of its own. `urgent`: models, and the pod, of which an old look will not do. */
  observe(urgent: { torchserve: ReadonlySet<string>; pod: boolean }): Promise<Seen>
  actuate: {
    start(action: Action, pool: { description: Description; serviceMs: number | null }): void
    outcomes(): Outcome[]
    adopt(key: PoolKey, workers: readonly Worker[]): void
  }
  /** Undefined where the agent does not know its pod. */
  resize: { start(action: ResizeAction): void; outcome(): ResizeOutcome | undefined } | undefined
  /** Absent where nobody wants the pod's deletion cost written. */
  deletionCost?: { start(cost: number): void; outcome(): CostOutcome | undefined } | undefined
  record(tick: {
    seen: Observation
    decisions: readonly Decision[]
    resize: ResizeDecision | undefined
    deletionCost?: CostDecision | undefined
    podDemand: number | undefined
    drain?: Drained | undefined
    tookMs: number
  }): void
}

type Seen = Omit<Observation, 'outcomes' | 'resized' | 'costed'>

/** The program: observe, decide, actuate, record. */
async function tick(ports: Ports, memory: Memory): Promise<Memory> {
  const startedMs = ports.clock.now()
  const urgent = { torchserve: memory.urgent, pod: watchesPod(memory) }
  const looked = await ports.observe(urgent)
  const outcomes = ports.actuate.outcomes()
  const resized = ports.resize?.outcome()
  const seen = { ...looked, outcomes, resized, costed: ports.deletionCost?.outcome() }
  const { memory: next, ...decided } = decide(ports.policies, memory, seen, ports.clock.now())
  const { decisions, deletionCost, resize } = decided

  const descriptions = new Map<PoolKey, Description>()
  for (const { key, description } of seen.pools) {
    if (description.state !== 'fresh') continue
    descriptions.set(key, description.value)
    ports.actuate.adopt(key, description.value.workers)
  }
  for (const { action, inputs, key } of decisions) {
    const description = descriptions.get(key)
    if (action && description)
      ports.actuate.start(action, { description, serviceMs: inputs.serviceMs })
  }
  if (resize?.action) ports.resize?.start(resize.action)
  if (deletionCost?.write && deletionCost.cost !== null)
    ports.deletionCost?.start(deletionCost.cost)
  ports.record({ seen, ...decided, tookMs: ports.clock.now() - startedMs })
  return next
}

/** Ticks at a steady pace until aborted; a tick that took too long is followed at once by the next, and none is made up for. */
export async function run(
  ports: Ports,
  tickMs: number,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  let memory = emptyMemory
  while (!signal.aborted) {
    const dueMs = ports.clock.now() + tickMs
    try {
      memory = await tick(ports, memory)
    } catch (error) {
      onError(error)
    }
    await ports.clock.sleep(Math.max(0, dueMs - ports.clock.now()), signal)
  }
}
