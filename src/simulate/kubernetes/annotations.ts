/** A patch of a pod itself: of it, labels and annotations can be changed here, under Stoker's policy for deletion costs. */
import type { Identity } from './admission.ts'
import { isSame } from './fields.ts'
import { sameSpec, type Pod } from './objects.ts'
import {
  forbidden,
  invalid,
  isForbidden,
  isInvalid,
  type Finding,
  type Response,
} from './status.ts'

const COST = 'controller.kubernetes.io/pod-deletion-cost'
const POLICY = 'stoker-deletion-cost-own-pod'

/** The first refusal; undefined: it is done. `bound`: the policy applies. */
export function refusalOf(old: Pod, changed: Pod, by: Identity, bound: boolean) {
  const { name } = old.metadata
  const findings = invalidities(old, changed)
  if (findings.length > 0) return invalid(name, findings)
  return bound ? againstPolicy(old, changed, by) : undefined
}

function invalidities(old: Pod, changed: Pod): Finding[] {
  const cost = changed.metadata.annotations?.[COST]
  const isCost = cost === undefined || (/^(0|-?[1-9]\d*)$/.test(cost) && Number(cost) < 2 ** 31)
  const field = `metadata.annotations[${COST}]`
  const fixed = 'pod updates may not change fields other than `spec.containers[*].image`'
  return [
    ...(isCost ? [] : [isInvalid(field, cost, 'must be a 32bit integer')]),
    ...(sameSpec(old.spec, changed.spec) ? [] : [isForbidden('spec', fixed)]),
  ]
}

function againstPolicy(old: Pod, changed: Pod, by: Identity): Response | undefined {
  const others = ({ annotations = {} }: Pod['metadata']) => ({ ...annotations, [COST]: '' })
  const isOnlyCost =
    isSame(others(old.metadata), others(changed.metadata)) &&
    isSame(old.metadata.labels, changed.metadata.labels)
  const why =
    by.podUid === old.metadata.uid
      ? isOnlyCost
        ? undefined
        : `only the annotation ${COST} may be changed`
      : 'a pod may only set its own deletion cost (pod-bound token required)'
  if (why === undefined) return undefined
  const message = `ValidatingAdmissionPolicy '${POLICY}' with binding '${POLICY}' denied request: ${why}`
  return forbidden(old.metadata.name, message, [{ message }])
}
