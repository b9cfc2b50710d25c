/** A cluster with one pod, and the agent's own client in it, on a virtual clock. */
import type { Test } from 'tap'
import { createKubernetes, type Kubernetes } from '../../../src/clients/kubernetes.ts'
import { wallClock } from '../../../src/clock.ts'
import { startKubernetes, type KubernetesEmulation } from '../../../src/simulate/kubernetes.ts'
import { virtualClock, type VirtualClock } from '../../../src/simulate/clock.ts'
import type { ClusterOptions } from '../../../src/simulate/kubernetes/cluster.ts'
import type { Kubelet } from '../../../src/simulate/kubernetes/kubelet.ts'
import type { MemoryUse, PodRuntime } from '../../../src/simulate/kubernetes/runtime.ts'

export const MiB = 2 ** 20
export const GiB = 2 ** 30

export interface World {
  clock: VirtualClock
  emulation: KubernetesEmulation
  kubernetes: Kubernetes
  kubelet: Kubelet
  runtime: PodRuntime
  /** What TorchServe holds. */
  use: MemoryUse
  uid: string
  /** Lets the call under way come back: it needs time on both clocks. */
  during<T>(call: Promise<T>): Promise<T>
}

/** The pod `serving`: TorchServe with 2 GiB of at most 4, and an agent with 64 MiB. */
export async function world(
  t: Test,
  options: Omit<ClusterOptions, 'clock'> = {},
  { startMs = 0, timeoutMs = 5_000 } = {},
): Promise<World> {
  const clock = virtualClock(Date.parse('2026-11-24T00:00:00Z'))
  const emulation = await startKubernetes({ ...options, clock })
  const use: MemoryUse = { anonBytes: 0, fileBytes: 0 }
  const small = { cpu: '50m', memory: '64Mi' }
  const { uid } = emulation.cluster.create(
    {
      name: 'serving',
      annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': '20Gi' },
      containers: [
        {
          name: 'torchserve',
          requests: { cpu: '1', memory: '2Gi' },
          limits: { memory: '4Gi' },
        },
      ],
      sidecars: [{ name: 'agent', requests: small, limits: { memory: '64Mi' } }],
    },
    { startMs, use: name => (name === 'agent' ? { anonBytes: 0, fileBytes: 0 } : use) },
  ).metadata
  const { kubelet } = emulation.cluster
  if (!kubelet) throw new Error('the cluster has no kubelet')
  const config = { ...emulation.configFor('serving'), container: 'torchserve', timeoutMs }
  const kubernetes = createKubernetes(config, wallClock)
  t.teardown(async () => {
    await kubernetes.close()
    await emulation.close()
  })
  const during = async <T>(call: Promise<T>): Promise<T> => {
    let settled = false
    const mark = () => (settled = true)
    call.then(mark, mark)
    while (!settled) await clock.advance(1)
    return call
  }
  const runtime = kubelet.runtime(uid)
  return { clock, emulation, kubernetes, kubelet, runtime, use, uid, during }
}
