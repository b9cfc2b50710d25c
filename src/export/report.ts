import type { Decision, Outcome, Reason } from '../model.ts'
import { createMemoryReport } from './memory-report.ts'
import type { Tick } from './tick.ts'

/** One line for whoever reads the log. */
export interface Line {
  level: 'debug' | 'info' | 'warn'
  text: string
  fields: Record<string, unknown>
}

/** Holds that a person should hear of once, when they begin. */
const notable: ReadonlySet<Reason> = new Set([
  'at_maximum',
  'at_knee',
  'at_ceiling',
  'at_memory',
  'gpu_full',
  'gpu_unknown',
  'gpu_unhealthy',
  'cpu_full',
  'foreign_change',
  'refused',
])

/**
 * Writes a line for each change, for what became of it, and for what stands in the way; only a debug line for a tick as before,
 * which in advise mode is the same advice again.
 */
export function createReport(write: (line: Line) => void): (tick: Tick) => void {
  const reasons = new Map<string, Reason>()
  const actions = new Map<string, string>()
  let notes = new Set<string>()
  let cost: number | null = null
  const reportMemory = createMemoryReport(write)
  return tick => {
    const { seen, decisions } = tick
    const known = notes
    notes = new Set()
    for (const { code, message } of seen.notes) {
      if (!known.has(code) && !notes.has(code))
        write({ level: 'warn', text: message, fields: { code } })
      notes.add(code)
    }
    for (const code of known)
      if (!notes.has(code)) write({ level: 'info', text: `${code} is over.`, fields: { code } })
    for (const outcome of seen.outcomes) {
      const line = lineOf(outcome)
      if (line) write(line)
    }
    for (const decision of decisions) {
      const began = reasons.get(decision.key) !== decision.reason
      const action = decision.action && `${decision.action.from} → ${decision.action.to}`
      const again = !began && action === actions.get(decision.key)
      reasons.set(decision.key, decision.reason)
      actions.set(decision.key, action ?? '')
      const news = !again && (action !== undefined || (began && notable.has(decision.reason)))
      write(announce(decision, news ? 'info' : 'debug'))
    }
    reportMemory(tick)
    const { deletionCost } = tick
    // While it cannot be written it is tried again and again.
    if (!deletionCost?.write || deletionCost.cost === cost) return
    cost = deletionCost.cost
    const text = `deletion cost: ${deletionCost.written ?? 'unknown'} → ${cost}. ${deletionCost.because}`
    write({ level: 'info', text, fields: { deletionCost: cost } })
  }
}

function announce({ action, because, key, reason }: Decision, level: Line['level']): Line {
  const fields = { model: key, reason, ...(action ? { from: action.from, to: action.to } : {}) }
  return { level, text: `${key}: ${because}`, fields }
}

function lineOf(outcome: Outcome): Line | undefined {
  const { action } = outcome
  const fields = { model: action.key, from: action.from, to: action.to, outcome: outcome.kind }
  switch (outcome.kind) {
    case 'removed': {
      const { delayedMs, sureness, tookMs, tries } = outcome
      const text = `${action.key}: a worker is gone (${sureness}, ${tries} ${tries === 1 ? 'try' : 'tries'}, ${(tookMs / 1000).toFixed(1)} s)`
      return { level: 'info', text, fields: { ...fields, sureness, tries, tookMs, delayedMs } }
    }
    case 'abandoned':
      return { level: 'info', text: `${action.key}: no worker taken: ${outcome.why}`, fields }
    case 'failed':
      return {
        level: 'warn',
        text: `${action.key}: ${action.from} → ${action.to} failed: ${outcome.message}`,
        fields: { ...fields, code: outcome.code },
      }
    // The mode is said at the start, and advice is the decision itself.
    case 'advised':
    case 'commanded':
      return undefined
  }
}
