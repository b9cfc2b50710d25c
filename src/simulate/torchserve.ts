import { wallClock, type Clock } from '../clock.ts'
import type { Processes } from '../clients/processes.ts'
import { TorchServeCore } from './torchserve/core.ts'
import { listen, type Handler, type Listening } from './torchserve/http.ts'
import type { TorchServeOptions } from './torchserve/options.ts'
import { inference, management, metrics } from './torchserve/routes.ts'
import { Tokens } from './torchserve/tokens.ts'

export interface EmulationOptions extends TorchServeOptions {
  /** The wall clock. */
  clock?: Clock
  /** Ports on 127.0.0.1; 0 or none given: any free one. */
  ports?: { inference?: number; management?: number; metrics?: number }
}

/** An emulated TorchServe 0.12 that speaks HTTP as the real one does. */
export interface Emulation {
  readonly inferenceUrl: string
  readonly managementUrl: string
  readonly metricsUrl: string
  /** The same TorchServe by direct calls; `freeze`, `thaw` and `kill` are there. */
  readonly core: TorchServeCore
  readonly processes: Processes
  /** Everything under way is lost, connections are reset, then refused for `downMs`; ids and counters begin anew. */
  restart(downMs: number): Promise<void>
  close(): Promise<void>
}

/** @throws Error when a port is taken or the key file cannot be written */
export async function startTorchServe(options: EmulationOptions): Promise<Emulation> {
  const clock = options.clock ?? wallClock
  const core = new TorchServeCore(options, clock)
  const newTokens = () => (options.tokens ? new Tokens(options.tokens, clock) : undefined)
  let tokens = newTokens()
  const interfaces: readonly [number, Handler][] = [
    [options.ports?.inference ?? 0, inference(core, () => tokens)],
    [options.ports?.management ?? 0, management(core, () => tokens)],
    [options.ports?.metrics ?? 0, metrics(core)],
  ]
  let listening: Listening[] = []
  const open = async () => {
    listening = await Promise.all(
      interfaces.map(([port, handle], place) =>
        listen({
          port: listening[place]?.port ?? port,
          handle,
          frozen: () => core.frozen(),
          replied: status => core.metrics.replied(status),
        }),
      ),
    )
  }
  const close = async () => {
    core.stop()
    await Promise.all(listening.map(each => each.close()))
  }
  await open()
  const [inferenceUrl = '', managementUrl = '', metricsUrl = ''] = listening.map(
    ({ port }) => `http://127.0.0.1:${port}`,
  )
  return {
    inferenceUrl,
    managementUrl,
    metricsUrl,
    core,
    processes: core.processes,
    restart: async downMs => {
      await close()
      await clock.sleep(downMs)
      tokens = newTokens()
      core.start()
      await open()
    },
    close,
  }
}
