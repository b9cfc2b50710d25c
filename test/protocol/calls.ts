/** TorchServe's API as the protocol cases call it. */
import { call, type CallOptions, type Reply } from '../real/http.ts'
import type { Target } from './target.ts'

export interface Described {
  modelVersion: string
  minWorkers: number
  maxWorkers: number
  workers: { id: string; startTime: string; status: string; pid: number }[]
  jobQueueStatus: { remainingCapacity: number; pendingRequests: number }
}

export function manage(target: Target, path: string, options: CallOptions = {}): Promise<Reply> {
  return call(new URL(path, target.managementUrl), options)
}

/** PUT /models/{path}; `path` with its query. */
export function scale(target: Target, path: string): Promise<Reply> {
  return manage(target, `/models/${path}`, { method: 'PUT' })
}

export async function describe(target: Target, model: string): Promise<Described> {
  const reply = await manage(target, `/models/${model}`)
  const [described]: Described[] = JSON.parse(reply.text)
  if (!described) throw new Error(`${model} is not described: ${reply.text}`)
  return described
}

/** Scales to `count` and waits until every worker is READY. */
export async function settle(target: Target, model: string, count: number): Promise<Described> {
  await scale(target, `${model}?min_worker=${count}&max_worker=${count}`)
  return waitFor(target, `${count} READY workers of ${model}`, 15_000, async () => {
    const described = await describe(target, model)
    const ready = described.workers.filter(({ status }) => status === 'READY')
    return described.workers.length === count && ready.length === count && described
  })
}

/** One inference; `id` is its body. */
export function predict(target: Target, model: string, id: string): Promise<Reply> {
  return call(new URL(`/predictions/${model}`, target.inferenceUrl), {
    method: 'POST',
    body: id,
    headers: { 'content-type': 'application/octet-stream' },
    timeoutMs: 20_000,
  })
}

/** `none` if there is no answer within `ms` of the server's time. */
export async function within<T>(
  target: Target,
  ms: number,
  answer: Promise<T>,
): Promise<T | 'none'> {
  const none = target.clock.sleep(ms).then(() => 'none' as const)
  return Promise.race([answer, none])
}

export async function ping(target: Target): Promise<number> {
  return (await call(new URL('/ping', target.inferenceUrl))).status
}

/** The metrics page with only the families named; all of it without names. */
export async function metrics(target: Target, ...names: string[]): Promise<string> {
  const query = names.map(name => `name[]=${name}`).join('&')
  return (await call(new URL(`/metrics?${query}`, target.metricsUrl))).text
}

/** A model's counter, summed over the versions it was asked for by; undefined while there is none. */
export async function counter(target: Target, name: string, model: string) {
  const page = await metrics(target, name)
  const lines = page.split('\n').filter(line => line.startsWith(`${name}{model_name="${model}"`))
  if (lines.length === 0) return undefined
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/**
 * Looks again until the condition gives something, and gives that. Throws after `ms` of the server's time, times the target's
 * patience.
 */
export async function waitFor<T>(
  target: Target,
  what: string,
  ms: number,
  condition: () => Promise<T | false | undefined>,
): Promise<T> {
  const deadline = target.clock.now() + ms * target.patience
  for (;;) {
    const value = await condition()
    if (value !== false && value !== undefined) return value
    if (target.clock.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await target.clock.sleep(20)
  }
}
