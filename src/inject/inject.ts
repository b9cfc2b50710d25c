/** Adds the agent to a pod, or takes it out: what changes, as a JSON Patch, and why. */
import {
  AGENT,
  agentAmounts,
  agentContainer,
  KEYS_FOLDER,
  KEYS_VOLUME,
  TOKEN_FOLDER,
  tokenVolume,
} from './agent-container.ts'
import { LABEL, ownAnnotations, PREFIX, readWishes, RECORD, type Values } from './annotations.ts'
import { drainHook } from './drain.ts'
import { createDraft, takeBack, type Draft, type Operation } from './draft.ts'
import { conflictIn, obstacleIn, planFor, type Plan } from './plan.ts'
import type { Container, Pod } from './pod.ts'
import { reasonTable, type Reason } from './reasons.ts'
import { readRecord, writeRecord } from './record.ts'
import { capByContainer, findTorchServe, settingsByImage } from './target.ts'

const SAFE_TO_EVICT = 'cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes'

/** What the installation says of every pod. */
export interface Options {
  /** The agent’s image. */
  image: string
  pullPolicy?: string
  /** Values for annotations that a pod does not have, by name without prefix. */
  defaults: Values
}

export interface Injection {
  outcome: 'injected' | 'removed' | 'skipped' | 'refused'
  /** Empty unless the outcome is a change. */
  operations: readonly Operation[]
  /** The first is the outcome’s; the others are advice. */
  reasons: readonly [Reason, ...Reason[]]
}

export function inject(pod: Pod, options: Options): Injection {
  const obstacle = obstacleIn(pod)
  if (obstacle) return nothing(pod, obstacle)
  const own = ownAnnotations(pod.metadata?.annotations ?? {})
  const target = findTorchServe(pod, own['container'] || options.defaults['container'])
  const found = 'name' in target ? target : undefined
  const usual = found && { ...settingsByImage(found), ...capByContainer(found, options.defaults) }
  const wishes = readWishes({ ...options.defaults, ...usual, ...own })
  if ('problems' in wishes) {
    return nothing(pod, { code: 'invalid_annotation', message: wishes.problems.join('; ') })
  }
  if (!('name' in target)) return nothing(pod, target)
  const plan = planFor(pod, target, wishes)
  const conflict = conflictIn(pod, plan)
  return conflict ? nothing(pod, conflict) : carryOut(pod, options, plan)
}

/** Nothing is changed; the reason tells whether that is a refusal. */
function nothing(pod: Pod, reason: Reason): Injection {
  const asked = pod.metadata?.labels?.[LABEL] === 'true'
  const refused =
    reasonTable[reason.code].kind === 'refused' || (reason.code === 'no_torchserve' && asked)
  return { outcome: refused ? 'refused' : 'skipped', operations: [], reasons: [reason] }
}

function carryOut(pod: Pod, options: Options, plan: Plan): Injection {
  const draft = createDraft(pod)
  const annotate = (name: string, value: string) => {
    const at = ['metadata', 'annotations', name]
    if (draft.get(at) !== value) draft.set(at, value)
  }
  draft.ensure(['metadata'], {})
  draft.ensure(['metadata', 'annotations'], {})
  annotate(`${PREFIX}container`, plan.target.name)
  if (plan.maxMemory !== undefined) annotate(`${PREFIX}max-memory`, plan.maxMemory)
  if (plan.hasToken) draft.append(['spec', 'volumes'], tokenVolume)
  makeRoomForMemory(draft, plan)
  shareWithAgent(draft, plan, pod)
  drainBeforeStop(draft, plan)
  if (plan.wishes.is('agent-only-token')) takeToken(draft, plan.target)
  const agent = agentContainer({
    image: options.image,
    pullPolicy: options.pullPolicy,
    native: plan.native,
    port: plan.port,
    container: plan.target.name,
    hasToken: plan.hasToken,
    env: {
      ...plan.wishes.env,
      ...(plan.drainS !== undefined && { STOKER_DRAIN_MS: String(plan.drainS * 1000) }),
    },
    amounts: agentAmounts(
      pod,
      plan.wishes.of('agent-cpu') ?? '',
      plan.wishes.of('agent-memory') ?? '',
    ),
    user: plan.user,
    group: plan.group,
    keys: plan.keys,
    claims: plan.claims,
  })
  draft.append(['spec', plan.native ? 'initContainers' : 'containers'], agent)
  const was = pod.metadata?.annotations?.[RECORD]
  const record = writeRecord({ undo: [...draft.undo], ...(was !== undefined && { was }) })
  draft.set(['metadata', 'annotations', RECORD], record)
  const message = `The agent was added beside ${plan.target.name}`
  return {
    outcome: 'injected',
    operations: draft.operations,
    reasons: [{ code: 'injected', message }, ...plan.advice],
  }
}

/** TorchServe is not restarted for a change of its memory, unless its author wants that. */
function makeRoomForMemory(draft: Draft, { target, maxMemory }: Plan): void {
  if (maxMemory === undefined) return
  if (target.resizePolicy?.some(policy => policy.resourceName === 'memory')) return
  const policies = ['spec', 'containers', { name: target.name }, 'resizePolicy']
  draft.append(policies, { resourceName: 'memory', restartPolicy: 'NotRequired' }, 'resourceName')
}

function shareWithAgent(draft: Draft, { target, shareProcesses, keys }: Plan, pod: Pod): void {
  // hostPID shares already, and excludes the other.
  if (shareProcesses && !pod.spec.shareProcessNamespace && !pod.spec.hostPID) {
    draft.set(['spec', 'shareProcessNamespace'], true)
  }
  if (!keys || keys.own) return
  draft.append(['spec', 'volumes'], { name: KEYS_VOLUME, emptyDir: {} })
  const container = ['spec', 'containers', { name: target.name }]
  draft.append(
    [...container, 'volumeMounts'],
    { name: KEYS_VOLUME, mountPath: KEYS_FOLDER },
    'mountPath',
  )
  draft.set([...container, 'workingDir'], KEYS_FOLDER)
  // An emptyDir keeps the cluster autoscaler from removing the node; this one holds nothing worth that.
  const evictable = pod.metadata?.annotations?.[SAFE_TO_EVICT]
  draft.set(
    ['metadata', 'annotations', SAFE_TO_EVICT],
    evictable ? `${evictable},${KEYS_VOLUME}` : KEYS_VOLUME,
  )
}

function drainBeforeStop(draft: Draft, { target, drainS, port }: Plan): void {
  if (drainS === undefined) return
  const lifecycle = ['spec', 'containers', { name: target.name }, 'lifecycle']
  draft.ensure(lifecycle, {})
  draft.set([...lifecycle, 'preStop'], drainHook(port, drainS))
}

/** The API server mounts the token before the webhook sees the pod; a template has none yet. */
function takeToken(draft: Draft, target: Container): void {
  const automount = ['spec', 'automountServiceAccountToken']
  if (draft.get(automount) !== false) draft.set(automount, false)
  const at = [
    'spec',
    'containers',
    { name: target.name },
    'volumeMounts',
    { mountPath: TOKEN_FOLDER },
  ]
  if (draft.get(at) !== undefined) draft.remove(at)
}

/** Takes the agent out again; the pod is then what it was. */
export function uninject(pod: Pod): Injection {
  const holders = [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
  const holder = holders.find(one => one.name === AGENT)
  const text = pod.metadata?.annotations?.[RECORD]
  if (!holder && text === undefined) {
    return nothing(pod, { code: 'not_injected', message: `There is no container ${AGENT}` })
  }
  const record = text === undefined ? undefined : readRecord(text)
  if (!record) {
    const message = `The annotation ${RECORD} does not say what to take back; the agent was added by other means`
    return nothing(pod, { code: 'no_record', message })
  }
  const draft = createDraft(pod)
  const at = ['metadata', 'annotations', RECORD]
  if (record.was === undefined) draft.remove(at)
  else draft.set(at, record.was)
  takeBack(draft, record.undo)
  const reason: Reason = { code: 'removed', message: 'The agent was taken out' }
  return { outcome: 'removed', operations: draft.operations, reasons: [reason] }
}
