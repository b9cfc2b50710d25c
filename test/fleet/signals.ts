/** What pods could be scaled by: the product's demand, and what others scale by. */
import type { HpaSpec } from './hpa.ts'
import type { Told } from './pod.ts'
import type { Rule, Series } from './prometheus.ts'

export interface Signal {
  name: string
  type: HpaSpec['type']
  target: number
  rule: Rule
}

/** `workload:stoker_pod_demand:sum` of k8s/prometheus/rules.yaml over any number that agents tell. */
function summed(numberOf: (told: Told) => number | undefined): Rule {
  return series => {
    const here = series.filter(({ draining }) => !draining)
    const known = here.flatMap(({ told }) => (told && numberOf(told)) ?? [])
    // A pod that is there, whose load was known and is not now, is taken to be full.
    const silent = here.filter(each => isSilent(each, numberOf)).length
    const count = known.length + silent
    const told = sum(known)
    if (count > 0) return told + silent <= count ? told + silent : Math.max(told, count)
    return here.length > 0 ? here.length : undefined
  }
}

function isSilent({ hasTold, told }: Series, numberOf: (told: Told) => number | undefined) {
  return hasTold && (told === undefined || numberOf(told) === undefined)
}

/** `sum(…)` or `avg(…)` of what is there, as such queries are written. */
function plain(
  combine: (numbers: readonly number[]) => number,
  numberOf: (told: Told) => number | undefined,
): Rule {
  return series => {
    const known = series.flatMap(({ draining, told }) =>
      told && !draining ? (numberOf(told) ?? []) : [],
    )
    return known.length > 0 ? combine(known) : undefined
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0)
const mean = (numbers: readonly number[]) => sum(numbers) / numbers.length

/** Workers that its agent wants now, by the most that the pod can have. */
function wanted({ inputs }: Told): number | undefined {
  const { needed = null, usable = 1 } = inputs ?? {}
  return needed === null ? undefined : needed / usable
}

const limited = (share: number | undefined) => share && Math.min(share, 1)

export const podDemand: Signal = {
  name: 'stoker_pod_demand',
  type: 'AverageValue',
  target: 1,
  rule: summed(({ podDemand: told }) => told),
}

/** The usual ones, each with the target that its users would choose. */
export const alternatives: readonly Signal[] = [
  {
    name: 'CPU: busy workers of the most a pod can have, 75 %',
    type: 'Value',
    target: 0.75,
    rule: plain(mean, ({ busy, inputs }) => inputs && busy / inputs.usable),
  },
  {
    name: 'worker utilisation: busy of those that run, 75 %',
    type: 'Value',
    target: 0.75,
    rule: plain(mean, ({ busy, ready }) => (ready > 0 ? busy / ready : undefined)),
  },
  {
    name: 'queue length, 5 a pod',
    type: 'AverageValue',
    target: 5,
    rule: plain(sum, ({ waiting }) => waiting),
  },
  {
    name: 'workers wanted, clipped to the most a pod can have',
    type: 'AverageValue',
    target: 1,
    rule: plain(sum, told => limited(wanted(told))),
  },
  {
    name: 'workers wanted now, backlog to be worked off in 5 s',
    type: 'AverageValue',
    target: 1,
    rule: plain(sum, wanted),
  },
]
