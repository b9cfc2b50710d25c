import type { Clock } from './clock.ts'
import type { PoolPolicy } from './config.ts'
import { decide } from './decide/decide.ts'
import { emptyMemory, type Memory } from './decide/memory.ts'
import type {
  Action,
  Decision,
  Description,
  Observation,
  Outcome,
  PoolKey,
  Worker,
} from './model.ts'

/** What the loop needs from the world. */
export interface Ports {
  clock: Clock
  policyOf: (model: string) => PoolPolicy
  /** Looks at TorchServe; never rejects, since what cannot be read is a value of its own. `urgent`: models of which an old look will not do. */
  observe(urgent: ReadonlySet<string>): Promise<Omit<Observation, 'outcomes'>>
  actuate: {
    start(action: Action, pool: { description: Description; serviceMs: number | null }): void
    outcomes(): Outcome[]
    adopt(key: PoolKey, workers: readonly Worker[]): void
  }
  record(tick: { seen: Observation; decisions: readonly Decision[]; tookMs: number }): void
}

/** The program: observe, decide, actuate, record. */
async function tick(ports: Ports, memory: Memory): Promise<Memory> {
  const startedMs = ports.clock.now()
  const looked = await ports.observe(memory.urgent)
  const seen = { ...looked, outcomes: ports.actuate.outcomes() }
  const { decisions, memory: next } = decide(ports.policyOf, memory, seen, ports.clock.now())

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
  ports.record({ seen, decisions, tookMs: ports.clock.now() - startedMs })
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
