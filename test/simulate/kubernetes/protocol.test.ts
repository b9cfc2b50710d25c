/** The resize cases on the emulated cluster. */
import t from 'tap'
import type { Clock } from '../../../src/clock.ts'
import { virtualClock, type VirtualClock } from '../../../src/simulate/clock.ts'
import { startKubernetes, type KubernetesEmulation } from '../../../src/simulate/kubernetes.ts'
import type { Cluster } from '../../../src/simulate/kubernetes/cluster.ts'
import type { Kubelet } from '../../../src/simulate/kubernetes/kubelet.ts'
import type { MemoryUse } from '../../../src/simulate/kubernetes/runtime.ts'
import type { Version } from '../../../src/simulate/kubernetes/versions.ts'
import { testResize } from '../../protocol/resize/cases.ts'
import type { Node, PodRef, ResizeTarget } from '../../protocol/resize/target.ts'

t.setTimeout(60_000)

const versions = ['1.37', '1.36', '1.35', '1.34', '1.33'] as const
// All before the first test: tap takes its root for ended when nothing is under way between two.
const emulations = await Promise.all(
  versions.map(async version => {
    const clock = virtualClock(Date.parse('2026-11-24T00:00:00Z'))
    // What a kubelet does is looked at once.
    const kubelet = version === '1.36' ? 'runs' : 'none'
    return { version, clock, emulation: await startKubernetes({ clock, version, kubelet }) }
  }),
)
const ending = new AbortController()
t.teardown(async () => {
  ending.abort()
  for (const { emulation } of emulations) await emulation.close()
})

for (const { version, clock, emulation } of emulations) {
  const pace = { ms: 1 }
  void flow(clock, pace, ending.signal)
  await testResize(async () => targetOf(emulation, version, hurrying(clock, pace)))
}

function targetOf(emulation: KubernetesEmulation, version: Version, clock: Clock): ResizeTarget {
  const { cluster, url, caFile, adminToken } = emulation
  const { api, kubelet } = cluster
  const uses = new Map<string, MemoryUse>()
  return {
    url,
    caFile,
    version,
    adminToken,
    clock,
    addNamespace: async () => {},
    allowCosts: async namespace =>
      void api.access.costRights.add(`${namespace}/system:serviceaccount:${namespace}:default`),
    create: async (namespace, { name = 'p', ...shape }) => {
      const key = (container: string) => `${namespace}/${name}/${container}`
      const pod = cluster.create(
        { ...shape, name, namespace },
        { use: container => uses.get(key(container)) ?? { anonBytes: 0, fileBytes: 0 } },
      )
      return { name, namespace, uid: pod.metadata.uid }
    },
    remove: async ({ name, namespace }, graceMs) => {
      cluster.delete(name, { namespace, graceMs })
      if (graceMs === 0) await clock.sleep(1)
    },
    clear: async namespace => {
      const left = api.store.all().filter(({ metadata }) => metadata.namespace === namespace)
      for (const pod of left) api.store.remove(pod)
    },
    tokenOf: async ({ name, namespace }) => api.access.issueFor(cluster.pod(name, namespace)),
    limit: async (namespace, range) => {
      api.namespace(namespace).limitRanges.push({ type: 'Container', ...range })
    },
    quota: async (namespace, { hard }) => {
      api.namespace(namespace).quotas.push({ name: 'q', hard })
    },
    ...(kubelet && { node: nodeOf(cluster, kubelet, uses) }),
    faults: api.faults,
  }
}

function nodeOf(cluster: Cluster, kubelet: Kubelet, uses: Map<string, MemoryUse>): Node {
  return {
    admits: async (namespace, { name = 'p', ...shape }) => {
      try {
        cluster.create({ ...shape, name, namespace })
        return true
      } catch {
        cluster.api.store.remove(cluster.pod(name, namespace))
        return false
      }
    },
    use: async ({ namespace, name }: PodRef, container, use) =>
      void uses.set(`${namespace}/${name}/${container}`, use),
    limits: async ({ uid }) => {
      const { limitBytes, containers } = kubelet.runtime(uid)
      const entries = containers.map(each => [each.name, each.limitBytes] as const)
      return { pod: limitBytes, containers: Object.fromEntries(entries) }
    },
    kill: async ({ uid }, container) =>
      kubelet.kill(uid, container, { reason: 'Error', exitCode: 137 }),
    stopKubelet: async () => kubelet.stop(),
    startKubelet: async () => kubelet.start(),
    hideStats: ({ uid }, ms) => kubelet.hideStats(uid, ms),
  }
}

/** Lets time pass while sockets are served: some of it for some turns of the event loop, whatever else the machine does. */
async function flow(clock: VirtualClock, pace: { ms: number }, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) await clock.advance(pace.ms)
}

/** The same time, which passes faster while a case waits for long. */
function hurrying(clock: VirtualClock, pace: { ms: number }): Clock {
  let hurried = 0
  return {
    now: () => clock.now(),
    async sleep(ms, signal) {
      const hurry = ms >= 100 ? 1 : 0
      hurried += hurry
      pace.ms = hurried > 0 ? 20 : 1
      await clock.sleep(ms, signal)
      hurried -= hurry
      pace.ms = hurried > 0 ? 20 : 1
    },
  }
}
