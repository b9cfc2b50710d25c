/** What makes a resize invalid, whoever asks: 422. In Kubernetes' order and words. */
import { Amount } from './amount.ts'
import {
  containersOf,
  isSidecar,
  kinds,
  qosOf,
  sameResources,
  scaled,
  type Container,
  type Pod,
  type Resources,
} from './objects.ts'
import { isForbidden, isInvalid, isRequired, type Finding } from './status.ts'
import type { Profile } from './versions.ts'

const MIRROR = 'kubernetes.io/config.mirror'
const lists = ['containers', 'initContainers'] as const

export function validateResize(old: Pod, changed: Pod, profile: Profile): Finding[] {
  if (old.metadata.annotations?.[MIRROR] !== undefined) {
    return [isForbidden('[]', 'static pods cannot be resized')]
  }
  if (old.spec.os?.name === 'windows') {
    return [isForbidden('[]', 'windows pods cannot be resized')]
  }
  if (old.spec.resources && profile.podLevel !== true) {
    return [isForbidden('[]', profile.podLevel)]
  }
  const findings = validateSpec(changed)
  if (qosOf(old.spec) !== qosOf(changed.spec)) {
    const why = 'Pod QOS Class may not change as a result of resizing'
    findings.push(isInvalid('spec', qosOf(old.spec), why))
  }
  if (!isSupported(old)) {
    findings.push(isForbidden('spec', 'Pod running on node without support for resize'))
  }
  const moved = lists.flatMap(list => validateOrder(old, changed, list))
  if (moved.length > 0) return [...findings, ...moved]
  return [
    ...findings,
    ...lists.flatMap(list => validateContainers(old, changed, list, profile)),
    ...validateOthers(old, changed, profile),
  ]
}

/** What holds for any pod. */
function validateSpec({ spec }: Pod): Finding[] {
  return lists.flatMap(list =>
    (spec[list] ?? []).flatMap((container, place) => {
      const path = `spec.${list}[${place}]`
      return [
        ...(container.image ? [] : [isRequired(`${path}.image`)]),
        ...validateAmounts(container.resources ?? {}, `${path}.resources`),
        ...validateWithinPod(container, place, spec.resources),
      ]
    }),
  )
}

function validateAmounts(resources: Resources, path: string): Finding[] {
  const negative = kinds.flatMap(kind =>
    Object.entries(resources[kind] ?? {})
      .filter(([, amount]) => Amount.of(amount).nano < 0n)
      .map(([name, amount]) =>
        isInvalid(`${path}.${kind}[${name}]`, amount, 'must be greater than or equal to 0'),
      ),
  )
  const above = Object.entries(resources.requests ?? {}).flatMap(([name, request]) => {
    const limit = resources.limits?.[name]
    if (limit === undefined || !Amount.of(request).above(Amount.of(limit))) return []
    const why = `must be less than or equal to ${name} limit of ${limit}`
    return isInvalid(`${path}.requests`, request, why)
  })
  return [...negative, ...above]
}

function validateWithinPod(container: Container, place: number, own?: Resources): Finding[] {
  return scaled.flatMap(name => {
    const most = own?.limits?.[name]
    const limit = container.resources?.limits?.[name]
    if (most === undefined || limit === undefined) return []
    if (!Amount.of(limit).above(Amount.of(most))) return []
    const field = `spec.resources.containers[${place}][${name}].limits`
    return isInvalid(field, limit, `must be less than or equal to pod limits of ${most}`)
  })
}

/** By the first container that runs: kubelets without support do not report its resources. */
function isSupported({ status }: Pod): boolean {
  const running = status.containerStatuses?.find(({ state }) => 'running' in state)
  return running === undefined || running.resources !== undefined
}

function validateOrder(old: Pod, changed: Pod, list: (typeof lists)[number]): Finding[] {
  const names = (pod: Pod) => (pod.spec[list] ?? []).map(({ name }) => name)
  const [before, after] = [names(old), names(changed)]
  if (before.length !== after.length) {
    return [isForbidden(`spec.${list}`, `${list} may not be added or removed on resize`)]
  }
  if (before.every((name, place) => name === after[place])) return []
  return [isForbidden(`spec.${list}`, `${list} may not be renamed or reordered on resize`)]
}

function validateContainers(
  old: Pod,
  changed: Pod,
  list: (typeof lists)[number],
  profile: Profile,
): Finding[] {
  return (old.spec[list] ?? []).flatMap((before, place) => {
    const after = changed.spec[list]?.[place]
    if (!after) return []
    const path = `spec.${list}[${place}].resources`
    const removed = kinds.flatMap(kind =>
      Object.keys(before.resources[kind] ?? {}).some(
        name => after.resources[kind]?.[name] === undefined,
      )
        ? isForbidden(`${path}.${kind}`, `resource ${kind} cannot be removed`)
        : [],
    )
    return [
      ...removed,
      ...(profile.limitsMove ? [] : validateLimit(before, after, path)),
      ...(isPlainInit(before, list) && !profile.checksCapacity
        ? validateInit(before, after, path)
        : []),
    ]
  })
}

function isPlainInit(container: Container, list: string): boolean {
  return list === 'initContainers' && !isSidecar(container)
}

function validateInit(before: Container, after: Container, path: string): Finding[] {
  if (sameResources(before.resources, after.resources)) return []
  return [isForbidden(path, 'resources for non-sidecar init containers are immutable')]
}

/** Kubernetes 1.33. */
function validateLimit(before: Container, after: Container, path: string): Finding[] {
  const restarts = before.resizePolicy?.some(
    each => each.resourceName === 'memory' && each.restartPolicy === 'RestartContainer',
  )
  const [from, to] = [before.resources.limits?.['memory'], after.resources.limits?.['memory']]
  if (restarts || to === undefined) return []
  const field = `${path}.limits[memory]`
  if (from === undefined) {
    const why = 'memory limits cannot be added unless resizePolicy is RestartContainer'
    return [isForbidden(field, why)]
  }
  if (!Amount.of(from).above(Amount.of(to))) return []
  const why = 'memory limits cannot be decreased unless resizePolicy is RestartContainer'
  return [isForbidden(field, why)]
}

/** Everything but cpu and memory must be as it was. */
function validateOthers(old: Pod, changed: Pod, profile: Profile): Finding[] {
  const others = (pod: Pod) =>
    JSON.stringify(
      containersOf(pod.spec).map(({ resources, resizePolicy }) => [
        resizePolicy,
        resources.claims,
        kinds.map(kind =>
          Object.entries(resources[kind] ?? {})
            .filter(([name]) => !scaled.some(each => each === name))
            .toSorted(([one], [other]) => (one < other ? -1 : 1)),
        ),
      ]),
    )
  // A known defect: what claims a device is taken for changed.
  const claims = profile.claims && containersOf(old.spec).some(({ resources }) => resources.claims)
  return !claims && others(old) === others(changed)
    ? []
    : [isForbidden('spec', 'only cpu and memory resources are mutable')]
}
