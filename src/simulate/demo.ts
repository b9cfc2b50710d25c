/** The demo's world: a pod with an emulated TorchServe of two models, and users whose numbers rise, step, burst and go. */
import type { OpenGuard } from '../actuate/stopping.ts'
import type { TorchServeCgroup } from '../clients/cgroup.ts'
import type { Environment } from '../clients/environment.ts'
import type { Processes } from '../clients/processes.ts'
import type { Clock } from '../clock.ts'
import { startFront, type Front } from './demo/front.ts'
import { startPod } from './demo/pod.ts'
import { startGpu, type GpuKind } from './gpu.ts'
import { openLoop, phases, type Rate } from './load.ts'
import { startTorchServe } from './torchserve.ts'
import { jittered, type ModelOptions } from './torchserve/options.ts'

const SEED = 7
const second = 1_000
/** As measured for RoBERTa on an A100. */
const GPU_WORKER_BYTES = 1_868 * 1_048_576
const WORKER_BYTES = 300 * 2 ** 20

/** Busy from the start: a calm, a ramp, a step of five times, bursts, and a calm in which workers may go. */
const busy: Rate = phases(
  [
    { kind: 'calm', forMs: 15 * second, rate: 8 },
    { kind: 'step', forMs: 30 * second, rate: 45 },
    { kind: 'calm', forMs: 60 * second, rate: 6 },
    { kind: 'ramp', forMs: 40 * second, from: 6, to: 40 },
    { kind: 'calm', forMs: 60 * second, rate: 6 },
    {
      kind: 'burst',
      forMs: 60 * second,
      rate: 8,
      peak: 50,
      everyMs: 20 * second,
      burstMs: 4 * second,
    },
    { kind: 'calm', forMs: 45 * second, rate: 4 },
  ],
  { repeat: true },
)

/** Its handler holds a lock: more than one worker only looks busy. */
const locked: Rate = phases(
  [
    { kind: 'calm', forMs: 20 * second, rate: 2 },
    { kind: 'step', forMs: 40 * second, rate: 24 },
    { kind: 'calm', forMs: 60 * second, rate: 1 },
  ],
  { repeat: true },
)

export interface Demo {
  /** The agent's settings for this world. */
  env: Record<string, string>
  host: {
    processes: Processes
    environment: Environment
    openGuard: OpenGuard
    cgroup: TorchServeCgroup
    env: Record<string, string>
  }
  /** Serves the agent’s page at another address, with the demo’s switch; resolves with that one. */
  show(agentUrl: string, listen: { host: string; port: number }): Promise<string>
  close(): Promise<void>
}

/** `gpu`: the first model runs on one, and a fake nvidia-smi tells of it. */
export async function startDemo(options: {
  clock: Clock
  gpu?: GpuKind | undefined
}): Promise<Demo> {
  const { clock, gpu: kind } = options
  const emulation = await startTorchServe({
    clock,
    seed: SEED,
    devices: { tokenizer: { kind: 'lock' }, gpu: { kind: 'gpu', saturation: 8 } },
    models: modelsOf(kind),
  })
  const loaded = { name: 'resnet', bytes: GPU_WORKER_BYTES, device: 'gpu' }
  const gpu = kind && startGpu({ core: emulation.core, kind, model: loaded }, clock)
  const pod = await startPod(clock, () => emulation.core.workerBytes)
  let front: Front | undefined
  const users = new AbortController()
  const load = (model: string, rate: Rate, seed: number) =>
    openLoop({
      url: `${emulation.inferenceUrl}/predictions/${model}`,
      rate,
      clock,
      seed,
      signal: users.signal,
    })
  const loads = [load('resnet', busy, SEED), load('tokens', locked, SEED + 1)]
  return {
    env: {
      ...pod.env,
      STOKER_MANAGEMENT_URL: emulation.managementUrl,
      STOKER_METRICS_URL: emulation.metricsUrl,
      STOKER_INFERENCE_URL: emulation.inferenceUrl,
      // A short memory, so that workers are seen to go while somebody watches.
      STOKER_HOLD_MS: '20000',
    },
    host: {
      processes: emulation.processes,
      // As on a machine where TorchServe sees all GPUs.
      environment: () => ({}),
      cgroup: pod.cgroup,
      // The emulated workers die with the agent.
      openGuard: () => Promise.resolve({ announce: () => {}, end: () => {} }),
      env: gpu ? { PATH: gpu.folder } : {},
    },
    async show(agentUrl, listen) {
      front = await startFront(agentUrl, pod, listen)
      return front.url
    },
    async close() {
      users.abort()
      await Promise.all(loads)
      await front?.close()
      await emulation.close()
      gpu?.close()
      await pod.close()
    },
  }
}

function modelsOf(kind: GpuKind | undefined): ModelOptions[] {
  const gpu = kind === 'mig' ? kind : true
  const onGpu = kind && { gpu, gpuBytes: GPU_WORKER_BYTES, device: 'gpu' }
  return [
    {
      name: 'resnet',
      serviceMs: jittered(100, 0.2),
      loadMs: 2_000,
      bytes: WORKER_BYTES,
      ...onGpu,
    },
    {
      name: 'tokens',
      serviceMs: jittered(50, 0.1),
      loadMs: 1_000,
      bytes: WORKER_BYTES,
      device: 'tokenizer',
    },
  ]
}
