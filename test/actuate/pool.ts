import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { actuated } from '../../src/actuate/torchserve.ts'
import type { Actuated } from '../../src/actuate/shrink.ts'
import { createWorkersActuator, type ActuatorOptions } from '../../src/actuate/workers.ts'
import type { Processes } from '../../src/clients/processes.ts'
import { createTorchServe } from '../../src/clients/torchserve.ts'
import { wallClock as clock, type Clock } from '../../src/clock.ts'
import { parseConfig, policyFor } from '../../src/config.ts'
import type { Action, Description, Outcome } from '../../src/model.ts'
import { readDescriptions } from '../../src/observe/describe.ts'
import { startTorchServe } from '../../src/simulate/torchserve.ts'
import type { ModelOptions } from '../../src/simulate/torchserve/options.ts'

export interface Options {
  model?: Partial<ModelOptions>
  decoys?: 'auto' | 'on' | 'off'
  advise?: boolean
  /** The actuator's clock runs this many times as fast, for what waits until its time is up. */
  hurry?: number
  processes?: (real: Processes) => Processes
  torchserve?: (real: Actuated) => Actuated
}

/** The actuator beside an emulated TorchServe with one model `m` of four workers, ready. */
export async function setUp(t: Test, options: Options = {}) {
  const model = { name: 'm', workers: 4, startMs: 5, loadMs: 5, serviceMs: 40, ...options.model }
  const emulation = await startTorchServe({ models: [model], seed: 3 })
  const config = parseConfig({
    STOKER_MANAGEMENT_URL: emulation.managementUrl,
    STOKER_METRICS_URL: emulation.metricsUrl,
    STOKER_INFERENCE_URL: emulation.inferenceUrl,
    STOKER_MODELS: JSON.stringify({ m: { decoys: options.decoys ?? 'auto' } }),
  })
  const torchserve = createTorchServe(config, clock)
  t.teardown(async () => {
    await torchserve.close()
    await emulation.close()
  })
  const signals: { pid: number; signal: string; atMs: number }[] = []
  const { processes: real } = emulation
  const watched = watching(real, (pid, signal) => signals.push({ pid, signal, atMs: clock.now() }))
  const on: ActuatorOptions = {
    torchserve: options.torchserve?.(actuated(torchserve, config)) ?? actuated(torchserve, config),
    processes: options.processes?.(watched) ?? watched,
    openGuard: () => Promise.resolve({ announce: () => {}, end: () => {} }),
    clock: faster(options.hurry ?? 1),
    policyOf: name => policyFor(config, name),
    advise: options.advise ?? false,
  }
  const actuator = createWorkersActuator(on)

  const describe = async (): Promise<Description> => {
    const [description] = readDescriptions(await torchserve.describe('m'), 'm')
    if (!description) throw new Error('not listed')
    return description
  }
  const allReady = async () => {
    for (let i = 0; i < 200; i++) {
      const { workers } = await describe()
      if (workers.length > 0 && workers.every(({ ready }) => ready)) return workers
      await sleep(5)
    }
    throw new Error('the workers never became ready')
  }
  const act = async (action: Partial<Action> = {}): Promise<Outcome | undefined> => {
    const description = await describe()
    const from = description.workers.length
    const whole: Action = {
      kind: 'shrink',
      pool: description.id,
      key: 'm',
      from,
      to: from - 1,
      ...action,
    }
    actuator.start(whole, { description, serviceMs: 40 })
    await actuator.settled()
    return actuator.outcomes().at(-1)
  }
  const ask = async () => {
    const sentMs = clock.now()
    const reply = await fetch(`${emulation.inferenceUrl}/predictions/m`, { method: 'POST' })
    await reply.text()
    return { status: reply.status, tookMs: clock.now() - sentMs }
  }
  await allReady()
  return { emulation, actuator, torchserve, signals, describe, allReady, act, ask }
}

function watching(real: Processes, note: (pid: number, signal: string) => void): Processes {
  return {
    look: pid => real.look(pid),
    thread: (id, pid) => real.thread(id, pid),
    siblings: (id, pid) => real.siblings(id, pid),
    use: pid => real.use(pid),
    still: pid => real.still(pid),
    isWorker: pid => real.isWorker(pid),
    signal(pid, signal) {
      note(pid, signal)
      return real.signal(pid, signal)
    },
  }
}

function faster(times: number): Clock {
  const startMs = clock.now()
  return {
    now: () => startMs + (clock.now() - startMs) * times,
    sleep: (ms, signal) => clock.sleep(ms / times, signal),
  }
}

/** Clients that ask again and again, each as soon as it was answered and rested, until the returned function is called. */
export function clients(
  ask: () => Promise<{ status: number; tookMs: number }>,
  count: number,
  restMs: number,
) {
  const stop = new AbortController()
  const results: { status: number; tookMs: number }[] = []
  const each = async (offset: number) => {
    await sleep((offset * restMs) / count)
    while (!stop.signal.aborted) {
      results.push(await ask())
      await sleep(restMs)
    }
  }
  const all = Promise.all(Array.from({ length: count }, (_, i) => each(i)))
  return async () => {
    stop.abort()
    await all
    return results
  }
}
