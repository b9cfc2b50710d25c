/**
 * Memory through whatever happens: the decision and the actuator that users run, on the emulated API server and kubelet, under
 * random sequences of load, refusals, kills and restarts.
 */
import fc from 'fast-check'
import t from 'tap'
import { createResizeActuator } from '../../src/actuate/resize.ts'
import type { Kubernetes } from '../../src/clients/kubernetes.ts'
import { podState } from '../../src/clients/kubernetes/pod.ts'
import { refusalOf, resizing } from '../../src/clients/kubernetes/refusal.ts'
import { StokerError } from '../../src/errors.ts'
import type { ContainerMemory, MemoryResources, PodState } from '../../src/model.ts'
import { emptyMemory } from '../../src/decide/memory.ts'
import { createPodObserver } from '../../src/observe/pod.ts'
import { virtualClock, type VirtualClock } from '../../src/simulate/clock.ts'
import { Cluster } from '../../src/simulate/kubernetes/cluster.ts'
import { MIB } from '../decide/container.ts'
import { leftAlone, policy, World } from '../decide/world.ts'

const POD = 'resnet-0'
const BASE_MIB = 300
/** Longer than the agent waits after any refusal here. */
const QUIET_SECONDS = 300
/** The last worker may have gone at the end of that; and a decrease is refused as long as the kubelet's numbers are from before. */
const UNDER_WAY_SECONDS = 60
/** A change of less is not made. */
const WORTHWHILE_MIB = 32

/** The agent's client without the wire. */
function direct(
  cluster: Cluster,
  clock: VirtualClock,
  nextPatch: { act: () => void },
): Pick<Kubernetes, 'read' | 'resize'> {
  const { access } = cluster.api
  const token = access.issueFor(cluster.pod(POD))
  const target = `/api/v1/namespaces/default/pods/${POD}/resize?fieldManager=stoker&fieldValidation=Strict`
  const patch = async (body: object, wanted: MemoryResources): Promise<PodState> => {
    const answer = await cluster.api.handle({
      method: 'PATCH',
      target,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/strategic-merge-patch+json',
      },
      body: JSON.stringify(body),
    })
    if (answer === 'reset') throw new StokerError('KUBERNETES_UNREACHABLE', 'PATCH')
    if (answer === 'silence') {
      await clock.sleep(5_000)
      throw new StokerError('KUBERNETES_TIMEOUT', 'PATCH')
    }
    const text = JSON.stringify(answer.body)
    const reply = {
      status: answer.status,
      body: text,
      asked: 'PATCH',
      contentType: 'application/json',
      retryAfterMs: undefined,
    }
    const refusal = refusalOf(reply, resizing, wanted)
    if (refusal) throw refusal
    return podState(JSON.parse(text), 'torchserve', 'PATCH')
  }
  const { uid } = cluster.pod(POD).metadata
  return {
    read: () => patch({ metadata: { uid } }, { requestBytes: undefined, limitBytes: undefined }),
    async resize({ requestBytes, limitBytes }, fence) {
      const resources = {
        ...(requestBytes === undefined ? {} : { requests: { memory: String(requestBytes) } }),
        ...(limitBytes === undefined ? {} : { limits: { memory: String(limitBytes) } }),
      }
      const metadata = { uid, ...(fence ? { resourceVersion: fence.unchangedSince } : {}) }
      const pod = await patch(
        { metadata, spec: { containers: [{ name: 'torchserve', resources }] } },
        { requestBytes, limitBytes },
      )
      nextPatch.act()
      nextPatch.act = () => {}
      return pod
    },
  }
}

interface Setting {
  guaranteed: boolean
  workerMib: number
  cgroups: 'v1' | 'v2'
}

async function setUp({ cgroups, guaranteed, workerMib }: Setting) {
  const world = new World()
  const clock = virtualClock(world.nowMs)
  const cluster = new Cluster({ clock, cgroups, allocatable: { cpu: '8', memory: '6Gi' } })
  const start = Math.ceil(1.1 * (BASE_MIB + workerMib)) + 20
  const cpu = { cpu: '1' }
  const memory = (mib: number) => ({ ...cpu, memory: `${mib}Mi` })
  cluster.create(
    {
      name: POD,
      containers: [
        {
          name: 'torchserve',
          requests: memory(start),
          limits: memory(guaranteed ? start : start + 200),
        },
      ],
      annotations: { 'stoker.dev/container': 'torchserve', 'stoker.dev/max-memory': '4Gi' },
    },
    {
      use: () => ({
        anonBytes: BASE_MIB * MIB + world.workersBytes,
        fileBytes: cacheMib.now * MIB,
      }),
    },
  )
  const cacheMib = { now: 50 }
  const nextPatch = { act: () => {} }
  await clock.advance(1_000)
  world.nowMs = clock.now()
  world.policy = { ...policy, maxWorkers: 8, holdMs: 15_000 }
  world.memoryPolicy = { ...leftAlone, maxMemory: 4_096 * MIB, inPod: true }
  world.workerMib = workerMib
  return { world, clock, cluster, cacheMib, nextPatch }
}

/** What the node has set, whatever is reported. */
function limitsOf(cluster: Cluster): { container: number; pod: number } {
  const runtime = cluster.kubelet?.runtime(cluster.pod(POD).metadata.uid)
  const run = runtime?.container('torchserve')
  return { container: run?.limitBytes ?? Infinity, pod: runtime?.limitBytes ?? Infinity }
}

function cgroupOf(cluster: Cluster, world: World, cacheMib: { now: number }): ContainerMemory {
  const workingBytes = BASE_MIB * MIB + world.workersBytes
  return {
    workingBytes,
    usageBytes: workingBytes + cacheMib.now * MIB,
    limitBytes: limitsOf(cluster).container,
    oomKills: 0,
  }
}

/** One life of the agent over the world: its observer and actuator are those that users run. */
function agentOver({ world, clock, cluster, cacheMib, nextPatch }: Life) {
  const kubernetes = direct(cluster, clock, nextPatch)
  const observer = createPodObserver({
    kubernetes,
    clock,
    cgroup: { memory: () => cgroupOf(cluster, world, cacheMib) },
  })
  const actuator = createResizeActuator({ kubernetes, clock, advise: false })
  let seen: Awaited<ReturnType<typeof observer.observe>> | undefined
  world.memory = emptyMemory
  world.container = {
    sync: () => {},
    seen: () =>
      seen?.pod ?? { state: { state: 'absent', why: '' }, memory: { state: 'absent', why: '' } },
    patch: action => actuator.start(action),
    outcome: () => actuator.outcome(),
  }
  return {
    async second() {
      const looking = observer.observe(world.memory.pod.resize.ordered !== undefined)
      await clock.advance(300)
      seen = await looking
      const before = world.nowMs
      world.run(1)
      // The world's own second is the clock's.
      if (world.nowMs - before !== 1_000) throw new Error('the world lost its time')
      for (const ms of [200, 500]) {
        await clock.advance(ms)
        check(world, cluster)
      }
    },
  }
}

function check(world: World, cluster: Cluster): void {
  const needs = BASE_MIB * MIB + world.workersBytes
  const { container, pod } = limitsOf(cluster)
  if (needs <= Math.min(container, pod)) return
  const mib = (bytes: number) => Math.round(bytes / MIB)
  throw new Error(
    `second ${world.second}: ${world.workers.length} workers need ${mib(needs)}, limits are ${mib(container)} and ${mib(pod)}\n${world.story.join('\n')}\n${world.memoryStory.join('\n')}`,
  )
}

const faults = [
  'none',
  'none',
  'kubelet down',
  'node full',
  'quota',
  'minimum',
  'api silent',
  'api lost',
  'api busy',
  'agent killed',
  'container killed',
  'container killed by a resize',
  'cache',
] as const

const step = fc.record({
  rate: fc.integer({ min: 0, max: 90 }),
  seconds: fc.integer({ min: 2, max: 40 }),
  faults: fc.array(fc.constantFrom(...faults), { maxLength: 2 }),
})

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never
type Life = Awaited<ReturnType<typeof setUp>>
type Fault = (typeof faults)[number]

function begin(fault: Fault, { cacheMib, cluster, nextPatch, world }: Life): void {
  const { api, kubelet } = cluster
  const kill = () => {
    const { uid } = cluster.pod(POD).metadata
    kubelet?.kill(uid, 'torchserve', { reason: 'Error', exitCode: 1 })
    world.restart(1)
  }
  switch (fault) {
    case 'kubelet down':
      return kubelet?.stop()
    case 'node full':
      return cluster.setAllocatable({ cpu: '8', memory: '1500Mi' })
    case 'quota':
      return void api
        .namespace('default')
        .quotas.push({ name: 'q', hard: { 'requests.memory': '1200Mi' } })
    case 'minimum':
      return void api
        .namespace('default')
        .limitRanges.push({ type: 'Container', min: { memory: '700Mi' } })
    case 'api silent':
      return api.faults.plan({ kind: 'lost', applied: false, how: 'silence' }, { times: 3 })
    case 'api lost':
      return api.faults.plan({ kind: 'lost', applied: true, how: 'reset' }, { which: 'changes' })
    case 'api busy':
      return api.faults.plan({ kind: 'delay', ms: 900 }, { times: 4 })
    case 'cache':
      return void (cacheMib.now = 700)
    case 'container killed':
      return kill()
    case 'container killed by a resize':
      return void (nextPatch.act = kill)
    case 'agent killed':
    case 'none':
  }
}

function end({ cacheMib, cluster, nextPatch }: Life): void {
  const { api, kubelet } = cluster
  kubelet?.start()
  cluster.setAllocatable({ cpu: '8', memory: '6Gi' })
  Object.assign(api.namespace('default'), { limitRanges: [], quotas: [] })
  api.faults.clear()
  cacheMib.now = 50
  nextPatch.act = () => {}
}

async function live(setting: Setting, steps: readonly Step[]): Promise<void> {
  const on = await setUp(setting)
  const { world, cluster, cacheMib } = on
  let agent = agentOver(on)
  for (const { faults: both, rate, seconds } of steps) {
    world.rate = rate
    for (const fault of both) {
      begin(fault, on)
      if (fault === 'agent killed') agent = agentOver(on)
      for (let second = 0; second < seconds; second++) await agent.second()
    }
    end(on)
  }
  // Nothing is wrong any more, and refusals are forgotten with time.
  world.rate = 0
  for (let second = 0; second < QUIET_SECONDS; second++) await agent.second()
  const spareOf = (now: PodState) => {
    const needed = 1.1 * (BASE_MIB + world.workers.length * world.workerMib)
    // A limit stays a little above what is in use, cache included; Guaranteed pods request their limit.
    const used = cgroupOf(cluster, world, cacheMib).usageBytes / MIB
    const least = setting.guaranteed ? Math.max(needed, 1.05 * used + 16) : needed
    // That less was refused is remembered for longer.
    const wanted = Math.max(least, (world.memory.pod.resize.floor?.at ?? 0) / MIB)
    return (now.container.desired.requestBytes ?? 0) / MIB - wanted
  }
  const look = () => podState(structuredClone(cluster.pod(POD)), 'torchserve', '')
  const isSettled = (now: PodState) => !isUnderWay(now) && spareOf(now) <= WORTHWHILE_MIB + 2
  let pod = look()
  for (let second = 0; second < UNDER_WAY_SECONDS && !isSettled(pod); second++) {
    await agent.second()
    pod = look()
  }
  const spare = spareOf(pod)
  cluster.close()
  if (isUnderWay(pod)) throw new Error('a wish was left behind')
  if (spare > WORTHWHILE_MIB + 2) {
    throw new Error(
      `${Math.round(spare)} MiB more than ${world.workers.length} workers need are still asked for\n${world.memoryStory.join('\n')}\n${world.lastResize.because}`,
    )
  }
}

function isUnderWay({ inProgress, pending }: PodState): boolean {
  return pending !== undefined || inProgress !== undefined
}

t.setTimeout(300_000)

t.test('no worker without its memory, and no memory without its reason', async t => {
  const setting = fc.record({
    guaranteed: fc.boolean(),
    workerMib: fc.integer({ min: 50, max: 500 }),
    cgroups: fc.constantFrom('v1' as const, 'v2' as const),
  })
  await fc.assert(fc.asyncProperty(setting, fc.array(step, { minLength: 1, maxLength: 8 }), live), {
    numRuns: Number(process.env['RUNS'] ?? 20),
  })
  t.end()
})
