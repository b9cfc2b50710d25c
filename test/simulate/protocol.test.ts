/** The protocol cases that the real TorchServe passes, on the emulation of one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { virtualClock, type VirtualClock } from '../../src/simulate/clock.ts'
import { startTorchServe } from '../../src/simulate/torchserve.ts'
import type { LoadFailure, ModelOptions } from '../../src/simulate/torchserve/options.ts'
import { testProtocol } from '../protocol/cases.ts'
import type { FailMode, ModelShape, Scene, Target } from '../protocol/target.ts'

type Failing = Map<string, { from: number; failure: LoadFailure }>

testProtocol(async ({ models, metricsMode = 'prometheus', tokens }: Scene): Promise<Target> => {
  const folder = mkdtempSync(join(tmpdir(), 'protocol-'))
  const keyFile = join(folder, 'key_file.json')
  const clock = virtualClock(Date.parse('2026-11-24T08:00:00Z'), 4)
  const failing: Failing = new Map()
  const emulation = await startTorchServe({
    clock,
    models: models.map(shape => asModel(shape, failing)),
    metricsMode,
    ...(tokens && { tokens: { keyFile } }),
  })
  const { core, processes } = emulation
  await clock.advance(1_000)
  const stop = new AbortController()
  void flow(clock, stop.signal)
  return {
    inferenceUrl: new URL(emulation.inferenceUrl),
    managementUrl: new URL(emulation.managementUrl),
    metricsUrl: new URL(emulation.metricsUrl),
    keyFile,
    clock,
    patience: 1,
    failLoads: (model, from, mode = 'plain') => {
      if (from === undefined) failing.delete(model)
      else failing.set(model, { from, failure: failures[mode] })
    },
    signal: (pid, signal) => {
      if (signal === 'SIGKILL') core.kill(pid)
      else processes.signal(pid, signal)
    },
    alive: pid => processes.look(pid) !== 'gone',
    freeze: () => core.freeze(),
    thaw: () => core.thaw(),
    close: async () => {
      await emulation.close()
      stop.abort()
      rmSync(folder, { recursive: true })
    },
  }
})

const failures: Record<FailMode, LoadFailure> = {
  cuda: 'cuda',
  plain: 'exception',
  exit: 'exit',
  kill: 'kill',
  hang: 'hang',
}

function asModel({ decoy = 'runs', ...shape }: ModelShape, failing: Failing): ModelOptions {
  return {
    ...shape,
    describe: decoy === 'raises' ? 'error' : 'runs',
    loadFails: ({ loaded }) => {
      const fails = failing.get(shape.name)
      return fails && loaded + 1 >= fails.from ? fails.failure : undefined
    },
  }
}

/** Lets time pass while sockets are served: a millisecond for some turns of the event loop, whatever else the machine does. */
async function flow(clock: VirtualClock, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) await clock.advance(1)
}
