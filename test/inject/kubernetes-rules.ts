/** Kubernetes’ own rules about pods, written down a second time so that the injection is held to them and not to itself. */

interface Amounts {
  [name: string]: string | number | undefined
}

interface Resources {
  requests?: Amounts | null
  limits?: Amounts | null
  claims?: { name: string; request?: string }[] | null
}

interface Security {
  privileged?: boolean
  allowPrivilegeEscalation?: boolean
  capabilities?: { drop?: string[]; add?: string[] }
  runAsNonRoot?: boolean
  runAsUser?: number | null
  seccompProfile?: { type: string }
}

interface LooseContainer {
  name: string
  image?: string
  env?: { name: string; value?: string }[] | null
  ports?: { name?: string; containerPort: number; hostPort?: number }[] | null
  resources?: Resources | null
  resizePolicy?: { resourceName: string }[] | null
  securityContext?: Security | null
  volumeMounts?: { name: string; mountPath: string }[] | null
}

/** A pod with more of its fields than the injection reads. */
export interface LoosePod {
  metadata?: { annotations?: Record<string, unknown> | null } | null
  spec: {
    containers: LooseContainer[]
    initContainers?: LooseContainer[] | null
    volumes?: { name: string; emptyDir?: object }[] | null
    resourceClaims?: { name: string }[] | null
    hostNetwork?: boolean | null
    hostPID?: boolean | null
    hostIPC?: boolean | null
    shareProcessNamespace?: boolean | null
    resources?: Resources | null
    securityContext?: Security | null
  }
}

export const loosely = (pod: unknown) => pod as LoosePod

const containersOf = ({ spec }: LoosePod) => [...(spec.initContainers ?? []), ...spec.containers]

const amount = (value: string | number | undefined) => {
  const [, digits = '', suffix = ''] = /^([\d.]+)(.*)$/.exec(String(value ?? 0)) ?? []
  const scale: Record<string, number> = {
    m: 1e-3,
    k: 1e3,
    M: 1e6,
    G: 1e9,
    Ki: 2 ** 10,
    Mi: 2 ** 20,
    Gi: 2 ** 30,
  }
  return Number(digits) * (scale[suffix] ?? 1)
}

/** Source: GetPodQOS in kubernetes/pkg/apis/core/v1/helper/qos. */
export function qosClass(pod: LoosePod): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const holders =
    pod.spec.resources && Object.keys(pod.spec.resources).length > 0
      ? [pod.spec]
      : containersOf(pod)
  const of = (one: Pick<LooseContainer, 'resources'>, kind: 'requests' | 'limits', name: string) =>
    amount(one.resources?.[kind]?.[name])
  const names = ['cpu', 'memory']
  const asks = (one: Pick<LooseContainer, 'resources'>) =>
    names.some(name => of(one, 'requests', name) || of(one, 'limits', name))
  if (!holders.some(asks)) return 'BestEffort'
  const isGuaranteed = (one: Pick<LooseContainer, 'resources'>) =>
    names.every(name => {
      const limit = of(one, 'limits', name)
      const request =
        one.resources?.requests?.[name] === undefined ? limit : of(one, 'requests', name)
      return limit > 0 && request === limit
    })
  return holders.every(isGuaranteed) ? 'Guaranteed' : 'Burstable'
}

/** What Pod Security's `restricted` would refuse. Source: kubernetes.io, Pod Security Standards. */
export function restrictedViolations(pod: LoosePod): string[] {
  const { spec } = pod
  const found: string[] = []
  for (const name of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
    if (spec[name]) found.push(name)
  const mayBe =
    'configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret'
  for (const { name, ...source } of spec.volumes ?? [])
    if (!Object.keys(source).every(kind => mayBe.split(' ').includes(kind)))
      found.push(`volume ${name}`)
  for (const one of containersOf(pod)) {
    const of = <Key extends keyof Security>(key: Key) =>
      one.securityContext?.[key] ?? spec.securityContext?.[key]
    const own = one.securityContext ?? {}
    if (own.privileged || own.allowPrivilegeEscalation !== false)
      found.push(`${one.name}: escalation`)
    if (!own.capabilities?.drop?.includes('ALL')) found.push(`${one.name}: capabilities`)
    if (own.capabilities?.add?.some((added: string) => added !== 'NET_BIND_SERVICE'))
      found.push(`${one.name}: added`)
    if (of('runAsNonRoot') !== true) found.push(`${one.name}: runAsNonRoot`)
    if (of('runAsUser') === 0) found.push(`${one.name}: root`)
    if (!['RuntimeDefault', 'Localhost'].includes(of('seccompProfile')?.type ?? ''))
      found.push(`${one.name}: seccomp`)
    if (one.ports?.some(port => port.hostPort)) found.push(`${one.name}: hostPort`)
  }
  return found
}

const repeated = (values: string[]) =>
  values.filter((value, index) => values.indexOf(value) !== index)

/** What the API server or the kubelet would refuse of what an injection touches. */
export function invalidities(pod: LoosePod): string[] {
  const { spec } = pod
  const volumes = (spec.volumes ?? []).map(volume => volume.name)
  const all = containersOf(pod)
  const found = [...repeated(volumes), ...repeated(all.map(one => one.name))].map(
    name => `twice: ${name}`,
  )
  for (const one of all) {
    const mounts = one.volumeMounts ?? []
    found.push(
      ...repeated(mounts.map(mount => mount.mountPath)).map(path => `${one.name}: twice ${path}`),
    )
    const lost = mounts.filter(mount => !volumes.includes(mount.name))
    found.push(...lost.map(mount => `${one.name}: no volume ${mount.name}`))
    found.push(
      ...repeated((one.env ?? []).map(entry => entry.name)).map(name => `${one.name}: ${name}`),
    )
    found.push(
      ...repeated((one.resizePolicy ?? []).map(entry => entry.resourceName)).map(
        name => `${one.name}: ${name}`,
      ),
    )
    for (const [name, limit] of Object.entries(one.resources?.limits ?? {}))
      if (amount(one.resources?.requests?.[name]) > amount(limit))
        found.push(`${one.name}: ${name} above its limit`)
    const claimed = one.resources?.claims ?? []
    found.push(
      ...claimed
        .filter(({ name }) => !spec.resourceClaims?.some(claim => claim.name === name))
        .map(({ name }) => `${one.name}: no claim ${name}`),
    )
    const user = one.securityContext?.runAsUser ?? spec.securityContext?.runAsUser
    if (user === 0 && one.securityContext?.runAsNonRoot)
      found.push(`${one.name}: would not start as root`)
    if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(one.name)) found.push(`${one.name} is no name`)
    for (const port of one.ports ?? [])
      if ((port.name?.length ?? 0) > 15 || port.containerPort < 1 || port.containerPort > 65_535)
        found.push(`${one.name}: port ${port.name}`)
  }
  if (spec.hostPID && spec.shareProcessNamespace) found.push('hostPID and shareProcessNamespace')
  if (Object.values(pod.metadata?.annotations ?? {}).some(value => typeof value !== 'string'))
    found.push('an annotation that is no text')
  return found
}
