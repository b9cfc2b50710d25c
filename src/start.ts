/** What the agent is made of: each part beside those it works with. */
import { createCostActuator, type CostActuator } from './actuate/deletion-cost.ts'
import type { OpenGuard } from './actuate/stopping.ts'
import { actuated } from './actuate/torchserve.ts'
import { createResizeActuator } from './actuate/resize.ts'
import { createWorkersActuator } from './actuate/workers.ts'
import { run, type Ports } from './agent.ts'
import type { TorchServeCgroup } from './clients/cgroup.ts'
import { createDcgm } from './clients/dcgm.ts'
import type { Environment } from './clients/environment.ts'
import { createKubernetes, type Kubernetes } from './clients/kubernetes.ts'
import { createNvidiaSmi } from './clients/nvidia-smi.ts'
import type { Processes } from './clients/processes.ts'
import { createTorchServe, type TorchServe } from './clients/torchserve.ts'
import { wallClock as clock } from './clock.ts'
import { policyFor, type Config } from './config.ts'
import { createReport, type Line } from './export/report.ts'
import { createExport, type Export } from './export/server.ts'
import { gpuVariables } from './observe/gpu/cuda.ts'
import { dcgmFinder } from './observe/gpu/dcgm.ts'
import { createGpuWatch, type GpuWatch } from './observe/gpu/gpus.ts'
import { smiFinder } from './observe/gpu/smi.ts'
import { createHostWatch } from './observe/host.ts'
import { createPodObserver } from './observe/pod.ts'
import { createTorchServeObserver } from './observe/torchserve.ts'

/** The API server is asked beside the loop, which does not wait for it for so long. */
const API_SERVER_MS = 5_000
/** A worker that is being retired is finished or let go within this time. */
const SETTLE_MS = 6_000

/** What the agent sees and acts through besides HTTP: processes, and a guard for those that are stopped. */
export interface Host {
  processes: Processes
  environment: Environment
  openGuard: OpenGuard
  cgroup: TorchServeCgroup
  /** Where programs and their libraries are: what nvidia-smi is given. */
  env: Readonly<Record<string, string>>
  /** The address at which people find what the agent serves at this one. */
  shownAt(url: string): Promise<string>
}

/** The sources that tell of GPUs, in order of trust. */
function watchGpus(config: Config, { env, environment }: Host): GpuWatch {
  const { caFile, dcgmUrl, gpu: policy, pod } = config
  const smi = smiFinder(createNvidiaSmi({ clock, env }), clock)
  const environmentOf = (pid: number) => environment(pid, gpuVariables)
  const beside = { policy, clock, host: createHostWatch(clock), environmentOf }
  if (!dcgmUrl || !pod) return createGpuWatch({ ...beside, finders: [smi] })
  const dcgm = dcgmFinder(createDcgm({ base: dcgmUrl, caFile, clock }), pod, clock)
  return createGpuWatch({ ...beside, finders: [dcgm, smi] })
}

/** One look at everything there is to see. */
function observing(
  { timeoutMs }: Config,
  { cgroup, processes }: Host,
  on: Pick<Export, 'drain'> & {
    torchserve: TorchServe
    kubernetes: Kubernetes | undefined
    gpus: GpuWatch
    deletionCost: CostActuator | undefined
  },
): Ports['observe'] {
  const { deletionCost, gpus, kubernetes, torchserve } = on
  const observer = createTorchServeObserver({ torchserve, clock, timeoutMs, processes })
  const pod = createPodObserver({ kubernetes, cgroup, clock })
  return async urgent => {
    const [torchserveSeen, podSeen] = await Promise.all([
      observer.observe(urgent.torchserve),
      pod.observe(urgent.pod),
    ])
    const gpusSeen = gpus.look(torchserveSeen.pools)
    const own = deletionCost?.notes() ?? []
    const notes = [...torchserveSeen.notes, ...podSeen.notes, ...gpusSeen.notes, ...own]
    return { ...torchserveSeen, ...podSeen, ...gpusSeen, notes, drain: on.drain() }
  }
}

/** All that the agent changes anything through. */
function acting(
  config: Config,
  host: Host,
  { torchserve, kubernetes }: { torchserve: TorchServe; kubernetes: Kubernetes | undefined },
) {
  const advise = config.mode === 'advise'
  const isCosted = config.deletionCost === 'write'
  return {
    actuate: createWorkersActuator({
      ...host,
      torchserve: actuated(torchserve, config),
      clock,
      policyOf: model => policyFor(config, model),
      advise,
    }),
    resize: kubernetes && createResizeActuator({ kubernetes, clock, advise }),
    deletionCost:
      kubernetes && isCosted ? createCostActuator({ kubernetes, clock, advise }) : undefined,
  }
}

/** Runs the agent until `signal` aborts, and what it had begun is finished or let go. */
export async function start(
  config: Config,
  { host, version, write }: { host: Host; version: string; write: (line: Line) => void },
  signal: AbortSignal,
): Promise<void> {
  const torchserve = createTorchServe(config, clock)
  const kubernetes =
    config.pod && createKubernetes({ ...config.pod, timeoutMs: API_SERVER_MS }, clock)
  const gpus = watchGpus(config, host)
  const { actuate, deletionCost, resize } = acting(config, host, { torchserve, kubernetes })
  const shown = createExport({
    config,
    clock,
    version,
    logger: { error: (fields, text) => write({ level: 'warn', text, fields: { ...fields } }) },
  })
  const own = await shown.listen()
  const url = await host.shownAt(own).catch(async (error: unknown) => {
    await shown.close()
    throw error
  })
  write({
    level: 'info',
    text: `Tending ${torchserve.url}${config.mode === 'advise' ? ' (advising only)' : ''}; watch at ${url}`,
    fields: { url, mode: config.mode },
  })
  const report = createReport(write)
  const ports: Ports = {
    clock,
    policies: {
      pool: model => policyFor(config, model),
      memory: config.memory,
      deletionCost: deletionCost !== undefined,
      acts: config.mode === 'act',
    },
    observe: observing(config, host, {
      torchserve,
      kubernetes,
      gpus,
      deletionCost,
      drain: shown.drain,
    }),
    actuate,
    resize,
    deletionCost,
    record(tick) {
      report(tick)
      shown.record(tick)
    },
  }
  await run(ports, config.tickMs, signal, error =>
    write({ level: 'warn', text: `A tick failed: ${String(error)}`, fields: { error } }),
  )
  const settled = new AbortController()
  await Promise.race([
    Promise.all([actuate.settled(), resize?.settled(), deletionCost?.settled()]),
    clock.sleep(SETTLE_MS, settled.signal),
  ])
  settled.abort()
  gpus.close()
  await shown.close()
  await torchserve.close()
  await kubernetes?.close()
}
