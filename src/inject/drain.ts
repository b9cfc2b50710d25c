/** The hook that has a pod go only when its TorchServe has answered what it was asked. */
import { PREFIX, type Wishes } from './annotations.ts'
import type { Json } from './draft.ts'
import type { Container, Pod } from './pod.ts'
import type { Reason } from './reasons.ts'

/** Kubernetes’ own, where a pod does not say. */
const USUAL_GRACE_S = 30
/** Of it, what TorchServe takes to end once it is told to. */
const ENDING_S = 5
/** Requests come for a few seconds after a pod was deleted; with less than this there would be no time to serve them. */
const LEAST_S = 10
/** The agent’s setting goes no further. */
const MOST_S = 3600
/** Past the agent’s own limit: its answer says what was left, which a hook that gave up would not. */
const SPARE_S = 2

/** The longest that the drain may take, in seconds; undefined where there is none, with what speaks against it if it was asked for. */
export function drainFor(
  { spec }: Pod,
  target: Container,
  wishes: Wishes,
): { drainS: number | undefined; advice: readonly Reason[] } {
  if (!wishes.is('drain')) return { drainS: undefined, advice: [] }
  const graceS = spec.terminationGracePeriodSeconds ?? USUAL_GRACE_S
  const drainS = Math.min(graceS - ENDING_S, MOST_S)
  const against = obstacleTo(target, wishes, { graceS, drainS })
  if (against === undefined) return { drainS, advice: [] }
  const message = `The pod is not drained before it goes: ${against}`
  return { drainS: undefined, advice: [{ code: 'no_drain', message }] }
}

function obstacleTo(
  target: Container,
  wishes: Wishes,
  { graceS, drainS }: { graceS: number; drainS: number },
): string | undefined {
  const { listenHost } = wishes.config
  if (wishes.of('sidecar') === 'classic')
    return 'a classic sidecar is told to end at the same moment as TorchServe, and could not wait for it'
  if (target.lifecycle?.preStop)
    return `${target.name} has a preStop hook of its own, which was left as it is`
  if (drainS < LEAST_S)
    return `terminationGracePeriodSeconds is ${graceS} and has to be at least ${LEAST_S + ENDING_S}`
  if (!onLoopback.has(listenHost))
    return `${PREFIX}listen-host is ${listenHost}, where a hook cannot reach the agent by 127.0.0.1`
  return undefined
}

const onLoopback: ReadonlySet<string> = new Set(['0.0.0.0', '::', '127.0.0.1', 'localhost'])

/**
 * A preStop hook for TorchServe’s container, where Python is at hand. An httpGet would come from the node’s address, from which
 * anybody might come. http.client goes by no proxy.
 */
export function drainHook(port: number, drainS: number): Record<string, Json> {
  const code = [
    'import http.client',
    `c = http.client.HTTPConnection("127.0.0.1", ${port}, timeout=${drainS + SPARE_S})`,
    'c.request("POST", "/drain", headers={"stoker-drain": "preStop"})',
    'r = c.getresponse()',
    'print(r.status, r.read().decode())',
  ].join('\n')
  return { exec: { command: ['python3', '-c', code] } }
}
