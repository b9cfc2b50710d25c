/** TorchServe's counters on its metrics page, and which pool each of them belongs to. */
import type { Counters, Description } from '../model.ts'
import type { Sample } from './exposition.ts'

export const counterNames = [
  'ts_inference_requests_total',
  'ts_inference_latency_microseconds',
  'ts_queue_latency_microseconds',
] as const
/** Milliseconds in the handler for the last batch of a model; only in TorchServe's prometheus mode. */
export const predictionName = 'PredictionTime'

type Totals = Pick<Counters, 'requests' | 'latencyUs' | 'queueUs'>

/** The counters of a page by model, and within it by the version the clients asked for; `default`: for none. */
export interface Page {
  series: ReadonlyMap<string, ReadonlyMap<string, Totals>>
  predictionMs: ReadonlyMap<string, number>
}

const none: Totals = { requests: 0, latencyUs: 0, queueUs: 0 }
const fieldOf = new Map<string, keyof Totals>([
  [counterNames[0], 'requests'],
  [counterNames[1], 'latencyUs'],
  [counterNames[2], 'queueUs'],
])

export function readPage(samples: readonly Sample[]): Page {
  const series = new Map<string, Map<string, Totals>>()
  const predictionMs = new Map<string, number>()
  for (const { name, labels, value } of samples) {
    const field = fieldOf.get(name)
    if (!Number.isFinite(value)) continue
    if (name === predictionName && labels['ModelName']) predictionMs.set(labels['ModelName'], value)
    if (!field || !labels['model_name']) continue
    const versions = series.get(labels['model_name']) ?? new Map<string, Totals>()
    const version = labels['model_version'] ?? 'default'
    versions.set(version, add(versions.get(version) ?? none, { ...none, [field]: value }))
    series.set(labels['model_name'], versions)
  }
  return { series, predictionMs }
}

/** Requests by model, whatever version they asked for. */
export function requestsByModel(page: Page): Map<string, number> {
  return new Map(
    page.series
      .entries()
      .map(([model, versions]) => [
        model,
        versions.values().reduce((sum, { requests }) => sum + requests, 0),
      ]),
  )
}

/** What is remembered of a model between pages. */
interface Ledger {
  defaultVersion: string
  /** What the series `default` had counted. */
  counted: Totals
  /** What it had counted while a version was the default, and was not any more. */
  moved: Map<string, Totals>
  /** Of each version, as attributed. */
  latencyUs: ReadonlyMap<string, number>
  lastToAnswer: ReadonlySet<string>
}

/**
 * Attributes a page to pools. Requests without a version are counted in a series of their own and belong to the version that
 * was the default then: when another one becomes the default, what was counted before stays where it was. The handler time has
 * no version either; it is that of the one version that has answered since the page before, or of one of several.
 */
export class Attribution {
  #ledgers = new Map<string, Ledger>()

  /** Counters by description. A series that is not on the page counts as zero; so show only complete pages. */
  count(page: Page, models: Iterable<readonly Description[]>): Map<Description, Counters> {
    const ledgers = new Map<string, Ledger>()
    const counts = new Map<Description, Counters>()
    for (const versions of models) {
      const current = versions.find(version => version.isDefault)?.id
      if (!current) continue
      const { model } = current
      const series = page.series.get(model)
      const unversioned = series?.get('default') ?? none
      const before = this.#ledgers.get(model)
      const carried = carry(before, current.version, unversioned)
      const totals = new Map(
        versions.map(({ id: { version }, isDefault }) => {
          const own = add(series?.get(version) ?? none, carried.moved.get(version) ?? none)
          return [version, isDefault ? add(own, unversioned) : own]
        }),
      )
      const lastToAnswer = answering(before, totals)
      const ranLast = runners(lastToAnswer, totals)
      const predictionMs = page.predictionMs.get(model)
      for (const description of versions) {
        const { version } = description.id
        const counted = totals.get(version) ?? none
        counts.set(description, { ...counted, ...handlerTime(predictionMs, version, ranLast) })
      }
      const latencyUs = new Map(
        [...totals].map(([version, counted]) => [version, counted.latencyUs]),
      )
      ledgers.set(model, { ...carried, latencyUs, lastToAnswer })
    }
    this.#ledgers = ledgers
    return counts
  }
}

function carry(
  before: Ledger | undefined,
  version: string,
  unversioned: Totals,
): Pick<Ledger, 'defaultVersion' | 'counted' | 'moved'> {
  // Fallen: TorchServe restarted, and everything counts from zero again.
  const restarted = before !== undefined && unversioned.requests < before.counted.requests
  const moved = new Map(before && !restarted ? before.moved : [])
  if (before && !restarted && before.defaultVersion !== version) {
    moved.set(before.defaultVersion, add(moved.get(before.defaultVersion) ?? none, unversioned))
    moved.set(version, add(moved.get(version) ?? none, unversioned, -1))
  }
  return { defaultVersion: version, counted: unversioned, moved }
}

/** Versions that have answered since the page before, else those that were the last to; none where no answer was ever counted. */
function answering(
  before: Ledger | undefined,
  totals: ReadonlyMap<string, Totals>,
): ReadonlySet<string> {
  const answered = [...totals].filter(
    ([version, { latencyUs }]) => latencyUs !== (before?.latencyUs.get(version) ?? 0),
  )
  if (answered.length === 0 && before) return before.lastToAnswer
  return new Set(answered.map(([version]) => version))
}

/** Whose handler ran last. Answers over gRPC are never counted: it may be that of a version with requests and no answers too. */
function runners(
  lastToAnswer: ReadonlySet<string>,
  totals: ReadonlyMap<string, Totals>,
): ReadonlySet<string> {
  const uncounted = [...totals].flatMap(([version, { latencyUs, requests }]) =>
    requests > 0 && latencyUs === 0 ? version : [],
  )
  return new Set([...lastToAnswer, ...uncounted])
}

function handlerTime(
  predictionMs: number | undefined,
  version: string,
  ranLast: ReadonlySet<string>,
): Pick<Counters, 'predictionMs' | 'sharedPredictionMs'> {
  if (!ranLast.has(version)) return { predictionMs: undefined }
  if (ranLast.size === 1) return { predictionMs }
  return { predictionMs: undefined, sharedPredictionMs: predictionMs }
}

function add(a: Totals, b: Totals, times: 1 | -1 = 1): Totals {
  return {
    requests: a.requests + times * b.requests,
    latencyUs: a.latencyUs + times * b.latencyUs,
    queueUs: a.queueUs + times * b.queueUs,
  }
}
