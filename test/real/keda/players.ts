/**
 * Plays the scheduler and the kubelet: of each pod that the ReplicaSet makes, an emulated TorchServe and the real agent run here,
 * as processes of this machine; the pod is bound and reported as the kubelet would.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { startTorchServe, type Emulation } from '../../../src/simulate/torchserve.ts'
import { startAgent, type Agent } from '../agent.ts'
import { STRATEGIC, type Body, type Client, type Metadata } from '../cluster/client.ts'
import type { Target } from '../prometheus/prometheus.ts'

const LOOK_MS = 500
const ADDRESS = '127.0.0.1'
const START_ATTEMPTS = 3

export interface Shape {
  model: { name: string; serviceMs: number; loadMs: number }
  maxWorkers: number
  /** From its creation until it is ready. */
  startMs: number
  node: string
}

/** A pod that serves. */
export interface Played extends Target {
  emulation: Emulation
  agent: Agent
}

interface Pod {
  metadata: Metadata & { name: string; ownerReferences: { name: string }[] }
  spec: { nodeName?: string; containers: { name: string }[] }
}

export class Players {
  /** Those that get requests. */
  readonly serving: Played[] = []
  readonly #admin: Client
  readonly #namespace: string
  readonly #shape: Shape
  readonly #changed: (serving: readonly Played[]) => void
  readonly #known = new Set<string>()
  readonly #stopped = new AbortController()
  readonly #underWay = new Set<Promise<void>>()

  /** `changed`: who is there now. */
  constructor(
    admin: Client,
    namespace: string,
    shape: Shape,
    changed: (serving: readonly Played[]) => void,
  ) {
    this.#admin = admin
    this.#namespace = namespace
    this.#shape = shape
    this.#changed = changed
  }

  /** Until stopped. */
  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const { items } = (await this.#admin.ok('GET', this.#path())) as unknown as { items: Pod[] }
      for (const pod of items) {
        const { deletionTimestamp, name } = pod.metadata
        if (deletionTimestamp !== undefined) this.#track(this.#remove(name))
        else if (!this.#known.has(name)) this.#track(this.#start(pod))
      }
      await sleep(LOOK_MS)
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.allSettled(this.#underWay)
    await Promise.all(this.serving.splice(0).map(end))
  }

  #path(name = ''): string {
    return `/api/v1/namespaces/${this.#namespace}/pods/${name}`
  }

  #track(work: Promise<void>): void {
    const done = work.finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
  }

  async #start({ metadata, spec }: Pod): Promise<void> {
    const { name, ownerReferences } = metadata
    const { maxWorkers, model, node, startMs } = this.#shape
    this.#known.add(name)
    const target = { apiVersion: 'v1', kind: 'Node', name: node }
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target }
    await this.#admin.ok('POST', `${this.#path(name)}/binding`, binding)
    await sleep(startMs)
    const emulation = await startTorchServe({ models: [model] })
    const { inferenceUrl, managementUrl, metricsUrl } = emulation
    const urls = {
      inferenceUrl: new URL(inferenceUrl),
      managementUrl: new URL(managementUrl),
      metricsUrl: new URL(metricsUrl),
    }
    const agent = await startedAgent(urls, maxWorkers)
    const played: Played = {
      emulation,
      agent,
      address: new URL(agent.url).host,
      namespace: this.#namespace,
      pod: name,
      controller: ownerReferences[0]?.name ?? '',
    }
    if (this.#stopped.signal.aborted) return end(played)
    await this.#report(name, spec)
    this.serving.push(played)
    this.#changed(this.serving)
  }

  async #report(name: string, { containers }: Pod['spec']): Promise<Body> {
    const state = { running: { startedAt: new Date().toISOString() } }
    const played = { image: 'played', imageID: 'played', ready: true, started: true }
    const status = {
      phase: 'Running',
      podIP: ADDRESS,
      conditions: ['Ready', 'ContainersReady'].map(type => ({ type, status: 'True' })),
      containerStatuses: containers.map(container => ({
        ...played,
        name: container.name,
        restartCount: 0,
        state,
      })),
    }
    return this.#admin.ok('PATCH', `${this.#path(name)}/status`, { status }, STRATEGIC)
  }

  async #remove(name: string): Promise<void> {
    const place = this.serving.findIndex(({ pod }) => pod === name)
    const [gone] = place < 0 ? [] : this.serving.splice(place, 1)
    if (gone) {
      this.#changed(this.serving)
      await drained(gone)
      await end(gone)
    }
    await this.#admin.call('DELETE', this.#path(name), { gracePeriodSeconds: 0 })
  }
}

/** An agent that does not start in time is started again, as a kubelet would. */
async function startedAgent(urls: Parameters<typeof startAgent>[0], maxWorkers: number) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startAgent(urls, {
        STOKER_MAX_WORKERS: String(maxWorkers),
        // Emulated workers are no processes that could be measured.
        STOKER_WORKER_MEMORY: '1Mi',
      })
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error
    }
  }
}

/** What it has is answered before it goes. */
async function drained({ emulation }: Played): Promise<void> {
  const reply = await fetch(new URL('/models/m', emulation.managementUrl))
  const [description] = (await reply.json()) as { jobQueueStatus: { pendingRequests: number } }[]
  await sleep(1_000 + 100 * (description?.jobQueueStatus.pendingRequests ?? 0))
}

async function end({ agent, emulation }: Played): Promise<void> {
  await agent.kill()
  await emulation.close()
}
