import type { ResizeOutcome, ResizeReason } from '../model.ts'
import type { Line } from './report.ts'
import type { Tick } from './tick.ts'

/** Holds that a person should hear of once, when they begin. */
const notable: ReadonlySet<ResizeReason> = new Set(['limited', 'unsupported', 'peer'])

/** Writes a line for each change of the pod's memory, for what it came to nothing by, and for what stands in the way. */
export function createMemoryReport(write: (line: Line) => void): (tick: Tick) => void {
  let reason: ResizeReason | undefined
  let changed = ''
  let failed = ''
  return ({ seen: { resized }, resize }) => {
    const line = resized && lineOf(resized)
    // An API server that is away fails each try in the same way.
    const failure = resized?.kind === 'failed' ? `${resized.action.kind} ${resized.code}` : ''
    if (line && (failure === '' || failure !== failed)) write(line)
    if (resized) failed = failure
    const began = resize?.reason !== reason
    const change = resize?.action ? JSON.stringify(resize.action.to) : ''
    const again = !began && change === changed
    reason = resize?.reason
    changed = change
    if (!resize || again || !(resize.action || notable.has(resize.reason))) return
    const { action, because } = resize
    const fields = { reason: resize.reason, ...(action && { from: action.from, to: action.to }) }
    write({ level: 'info', text: `memory: ${because}`, fields })
  }
}

function lineOf(outcome: ResizeOutcome): Line | undefined {
  const { kind, from, to } = outcome.action
  const fields = { kind, from, to, outcome: outcome.kind }
  switch (outcome.kind) {
    case 'failed': {
      const { code, message } = outcome
      return { level: 'warn', text: `memory: ${message}`, fields: { ...fields, code } }
    }
    case 'unfit':
      return { level: 'info', text: `memory: nothing was sent: ${outcome.why}.`, fields }
    // What the kubelet makes of it is decided on, and advice is the decision itself.
    case 'accepted':
    case 'advised':
      return undefined
  }
}
