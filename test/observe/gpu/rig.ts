/** The way from an nvidia-smi program, or a dcgm-exporter's page, to the agent's own /metrics; all of it real. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { createNvidiaSmi } from '../../../src/clients/nvidia-smi.ts'
import { wallClock } from '../../../src/clock.ts'
import { createExport } from '../../../src/export/server.ts'
import type { Description, Observation, PoolSeen } from '../../../src/model.ts'
import { smiListing, smiXml, type Card } from '../../../src/simulate/nvidia-smi.ts'
import type { GpuPolicy } from '../../../src/config.ts'
import type { GpuEnvironment } from '../../../src/observe/gpu/cuda.ts'
import { createGpuWatch } from '../../../src/observe/gpu/gpus.ts'
import { smiFinder } from '../../../src/observe/gpu/smi.ts'
import type { GpuFinder } from '../../../src/observe/gpu/source.ts'
import { tickOf } from '../../export/ticks.ts'

export const MIB = 1_048_576

/** What the program writes to either command, and how it ends. */
export interface Scene {
  query: string | Buffer
  listing?: string
  /** Shell, run after the output of the query. */
  after?: string
}

export const a100: Card = {
  uuid: 'GPU-513536b6-7d19-9063-b049-1e69664bb298',
  product: 'NVIDIA A100-SXM4-80GB',
  totalMib: 81_920,
  reservedMib: 869,
  usedMib: 1_868,
  activity: '37 %',
  mig: 'Disabled',
}
export const slice = (gpuInstance: number, profile: string, totalMib: number, usedMib = 12) => ({
  uuid: `MIG-00000000-0000-5000-8000-${String(gpuInstance).padStart(12, '0')}`,
  profile,
  gpuInstance,
  computeInstance: 0,
  totalMib,
  usedMib,
})
export const scene = (...cards: Card[]): Scene => ({
  query: smiXml(cards),
  listing: smiListing(cards),
})
export const labels = (gpu = a100.uuid, instance: number | '' = '', profile = '') =>
  `{gpu="${gpu}",gpu_instance="${instance}",profile="${profile}",source="nvidia_smi"}`
export const bytes = (mib: number) => String(mib * MIB)

/** A pool with one worker on GPU 0, so that GPUs are looked at. */
export function onGpu(gpuUsage: Partial<Description['workers'][number]> = {}): PoolSeen {
  const [pool] = tickOf({ atMs: 0, pools: [{}] }).seen.pools
  if (pool?.description.state !== 'fresh') throw new Error('no pool')
  const worker = {
    id: '9000',
    pid: 1,
    ready: true,
    alive: true,
    gpu: true,
    use: undefined,
    memoryBytes: undefined,
  }
  const value = { ...pool.description.value, workers: [{ ...worker, ...gpuUsage }] }
  return { ...pool, description: { state: 'fresh', value, atMs: wallClock.now() } }
}

/** A clock that can be moved. */
export function movable() {
  const time = { aheadMs: 0 }
  return { time, clock: { now: () => wallClock.now() + time.aheadMs, sleep: wallClock.sleep } }
}

const host = { look: () => ({ state: 'absent', why: 'not asked here' }) as const }
const auto = { count: undefined, memory: undefined, sharing: 'auto' } as const

/** An agent's eyes on GPUs and its /metrics. */
export async function watching(
  t: Test,
  finders: readonly GpuFinder[],
  clock = wallClock,
  settings: Partial<GpuPolicy> & { environment?: GpuEnvironment | undefined } = {},
) {
  // Unless a test says otherwise, a machine on which TorchServe sees what everybody sees.
  const environmentOf = () => ('environment' in settings ? settings.environment : {})
  const watch = createGpuWatch({
    policy: { ...auto, ...settings },
    clock,
    finders,
    host,
    environmentOf,
  })
  const config = {
    mode: 'act',
    tickMs: 1_000,
    drainMs: 25_000,
    listenHost: '127.0.0.1',
    listenPort: 0,
  } as const
  const shown = createExport({ config, clock, version: '1.2.3' })
  const url = await shown.listen()
  t.teardown(async () => {
    watch.close()
    await shown.close()
  })
  let seen: Pick<Observation, 'gpus' | 'notes'> = { gpus: { state: 'absent', why: '' }, notes: [] }
  const look = (pools: readonly PoolSeen[] = [onGpu()]) => {
    seen = watch.look(pools)
    shown.record(tickOf({ atMs: clock.now(), pools: [{}], ...seen }))
    return seen
  }
  /** Looks until something is known, or a note says why not. */
  const settle = async () => {
    for (let tries = 0; tries < 500; tries++) {
      look()
      if (seen.gpus.state === 'fresh' || seen.notes.length > 0) break
      if (/cannot be started/.test(seen.gpus.state === 'absent' ? seen.gpus.why : '')) break
      await sleep(10)
    }
    return seen
  }
  /** The lines about GPUs, without the age. */
  const metrics = async () => {
    const page = await (await fetch(`${url}/metrics`)).text()
    return page
      .split('\n')
      .filter(
        line => /^stoker_(gpu|notes)/.test(line) && !line.startsWith('stoker_gpu_reading_age'),
      )
  }
  /** How old the readings are that it shows, in seconds. */
  const ages = async () => {
    const page = await (await fetch(`${url}/metrics`)).text()
    return [...page.matchAll(/^stoker_gpu_reading_age_seconds\{.*\} (.*)$/gm)].map(([, age]) =>
      Number(age),
    )
  }
  return { look, settle, metrics, ages }
}

/** A program called nvidia-smi that plays a scene, and where to find it. */
export function smiProgram(t: Test, first: Scene) {
  const folder = t.testdir({ query: '', listing: '' })
  const play = ({ query, listing = '', after = '' }: Scene) => {
    writeFileSync(join(folder, 'query'), query)
    writeFileSync(join(folder, 'listing'), listing)
    const script = `#!/bin/sh\ncd '${folder}'\necho "$1" >> asked\n[ "$1" = -L ] && exec cat listing\ncat query\n${after}\n`
    writeFileSync(join(folder, 'nvidia-smi'), script)
    chmodSync(join(folder, 'nvidia-smi'), 0o755)
  }
  play(first)
  return { play, folder, env: { PATH: `${folder}:${process.env['PATH']}` } }
}

/** The same over a program that plays a scene. */
export async function smiWatching(t: Test, first: Scene, timeoutMs = 10_000) {
  const { env, folder, play } = smiProgram(t, first)
  const { clock, time } = movable()
  const smi = createNvidiaSmi({ clock, env, timeoutMs })
  return { ...(await watching(t, [smiFinder(smi, clock)], clock)), play, time, folder }
}
