import type {
  ContainerMemory,
  MemoryResources,
  PodSeen,
  PodState,
  ResizeAction,
  ResizeOutcome,
} from '../../src/model.ts'

export const MIB = 2 ** 20

/** How the API server and the kubelet answer a wish. */
export type Answer =
  | 'granted'
  | 'deferred'
  | 'infeasible'
  | 'refused decrease'
  | 'silent'
  | 'quota'
  | 'rbac'
  | 'limit rule'
  | 'timeout, written'
  | 'timeout, lost'
  | 'untrusted'
  | 'no token'
  | 'no Kubernetes'

interface Options {
  requestMib?: number
  limitMib?: number | undefined
  qosClass?: PodState['qosClass']
  baseMib?: number
}

const notArrived: Partial<Record<Answer, string>> = {
  'timeout, lost': 'KUBERNETES_TIMEOUT',
  untrusted: 'KUBERNETES_TLS',
  'no token': 'KUBERNETES_TOKEN_UNREADABLE',
  'no Kubernetes': 'KUBERNETES_NOT_KUBERNETES',
}

/** A pod with a TorchServe container, and a kubelet that acts within a second or as it is told. */
export class Container {
  answer: Answer = 'granted'
  /** Of what the kubelet lets the node have. */
  grantedUpToMib = Infinity
  quotaMib = Infinity
  /** The most that a LimitRange allows as limit, and so says. */
  mostLimitMib = Infinity
  /** The least that a LimitRange allows as request, and so says. */
  leastRequestMib = 0
  /** A policy that lets nothing be lowered, and says no number. */
  mayLower = true
  cgroupVisible = true
  apiReachable = true
  apiAwayMs = 1_000
  /** Wishes are taken, and answered later. */
  apiHangs = false
  readonly asked: ResizeAction[] = []
  /** Page cache that could be given back. */
  cacheMib = 0
  baseMib: number
  readonly state: PodState
  cgroup: ContainerMemory
  #refusedAtMs = 0
  #outcome: ResizeOutcome | undefined

  constructor(options: Options = {}) {
    const { requestMib = 600, qosClass = 'Guaranteed', baseMib = 300 } = options
    const limitMib = 'limitMib' in options ? options.limitMib : requestMib
    const has = {
      requestBytes: requestMib * MIB,
      limitBytes: limitMib === undefined ? undefined : limitMib * MIB,
    }
    this.baseMib = baseMib
    this.cgroup = { usageBytes: 0, workingBytes: 0, limitBytes: has.limitBytes, oomKills: 0 }
    this.state = {
      uid: 'u',
      resourceVersion: '1',
      generation: 1,
      observedGeneration: 1,
      terminating: false,
      phase: 'Running',
      qosClass,
      container: {
        desired: has,
        allocatedRequestBytes: has.requestBytes,
        actual: has,
        running: true,
        restartCount: 0,
        lastTermination: undefined,
        restartsOnResize: false,
      },
      pending: undefined,
      inProgress: undefined,
      podLimitBytes: undefined,
      peers: [],
    }
  }

  get desired(): MemoryResources {
    return this.state.container.desired
  }

  /** What the API server does with a wish. */
  patch(action: ResizeAction, atMs: number): void {
    this.asked.push(action)
    if (!this.apiHangs) this.#outcome = this.#answered(action, atMs)
  }

  /** The answer to the first wish that has none yet. */
  answerFirst(atMs: number): void {
    const [first] = this.asked
    if (first) this.#outcome = this.#answered(first, atMs)
  }

  outcome(): ResizeOutcome | undefined {
    const outcome = this.#outcome
    this.#outcome = undefined
    return outcome
  }

  #answered(action: ResizeAction, atMs: number): ResizeOutcome {
    const refused = (
      code: string,
      ceiling: Partial<MemoryResources> = {},
      floor: Partial<MemoryResources> = {},
    ): ResizeOutcome => ({
      action,
      atMs,
      kind: 'failed',
      code,
      message: `the API server answered ${code}. Change the rule.`,
      ceiling: { requestBytes: undefined, limitBytes: undefined, ...ceiling },
      floor: { requestBytes: undefined, limitBytes: undefined, ...floor },
      retryAfterMs: undefined,
    })
    const more = (action.to.requestBytes ?? 0) > (this.desired.requestBytes ?? 0)
    if (this.answer === 'rbac') return refused('RESIZE_RBAC')
    const lost = notArrived[this.answer]
    if (lost) return refused(lost)
    if (
      this.answer === 'limit rule' &&
      (action.to.limitBytes ?? 0) < (this.desired.limitBytes ?? 0)
    )
      return refused('RESIZE_LIMIT_RULE')
    const beyond = (action.to.requestBytes ?? 0) > this.quotaMib * MIB
    if (more && (this.answer === 'quota' || beyond))
      return refused('RESIZE_QUOTA', beyond ? { requestBytes: this.quotaMib * MIB } : {})
    if ((action.to.limitBytes ?? 0) > this.mostLimitMib * MIB)
      return refused('RESIZE_LIMIT_RANGE', { limitBytes: this.mostLimitMib * MIB })
    const leastBytes = this.leastRequestMib * MIB
    if ((action.to.requestBytes ?? 0) < leastBytes)
      return refused('RESIZE_LIMIT_RANGE', {}, { requestBytes: leastBytes })
    if (!more && !this.mayLower) return refused('RESIZE_POLICY')
    this.write(action.to, atMs)
    return this.answer === 'timeout, written'
      ? refused('KUBERNETES_TIMEOUT')
      : { action, atMs, kind: 'accepted' }
  }

  /** Anybody's write. */
  write(to: MemoryResources, atMs: number): void {
    const { container } = this.state
    container.desired = {
      requestBytes: to.requestBytes ?? container.desired.requestBytes,
      limitBytes: to.limitBytes ?? container.desired.limitBytes,
    }
    this.state.generation++
    this.state.pending = undefined
    this.state.inProgress = undefined
    this.#refusedAtMs = atMs
  }

  /** The kubelet, before each look. */
  sync(nowMs: number, workersBytes: number): void {
    const { container } = this.state
    const { desired } = container
    const workingBytes = this.baseMib * MIB + workersBytes
    const usageBytes = workingBytes + this.cacheMib * MIB
    this.cgroup = { ...this.cgroup, workingBytes, usageBytes }
    if (this.answer === 'silent' || !container.running) return
    this.state.observedGeneration = this.state.generation
    const raises = (desired.requestBytes ?? 0) > (container.allocatedRequestBytes ?? 0)
    const condition = (reason: string, message: string, excessBytes?: number) => ({
      reason,
      message,
      observedGeneration: this.state.generation,
      excessBytes,
    })
    const excess = (desired.requestBytes ?? 0) - this.grantedUpToMib * MIB
    if (raises && excess > 0) {
      this.state.pending = condition('Deferred', 'node didn’t have enough resource: memory', excess)
      return
    }
    if (raises && (this.answer === 'deferred' || this.answer === 'infeasible')) {
      const reason = this.answer === 'deferred' ? 'Deferred' : 'Infeasible'
      this.state.pending = condition(reason, 'node didn’t have enough resource: memory')
      return
    }
    this.state.pending = undefined
    container.allocatedRequestBytes = desired.requestBytes
    const lowers = (desired.limitBytes ?? Infinity) < (container.actual?.limitBytes ?? Infinity)
    const tooLow = (desired.limitBytes ?? Infinity) <= usageBytes
    if (lowers && (tooLow || this.answer === 'refused decrease')) {
      const said = nowMs - this.#refusedAtMs > 12_000
      this.state.inProgress = condition(
        said ? 'Error' : '',
        said ? 'attempting to set pod memory limit (1) below current usage (2)' : '',
      )
      return
    }
    this.state.inProgress = undefined
    container.actual = desired
    this.cgroup.limitBytes = desired.limitBytes
  }

  seen(atMs: number): PodSeen {
    const why = 'KUBERNETES_UNREACHABLE. Look at it.'
    const value = structuredClone(this.state)
    return {
      state: this.apiReachable
        ? { state: 'fresh', value, atMs }
        : { state: 'stale', value, atMs: atMs - this.apiAwayMs, why },
      memory: this.cgroupVisible
        ? { state: 'fresh', value: { ...this.cgroup }, atMs }
        : { state: 'absent', why: 'not shared' },
    }
  }
}
