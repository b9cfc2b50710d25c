import t from 'tap'
import { createReport, type Line } from '../../src/export/report.ts'
import type { Action, Decision, Ending, Note, Reason } from '../../src/model.ts'
import { noPod } from '../decide/world.ts'

type Ticked = Parameters<ReturnType<typeof createReport>>[0]

const pool = { model: 'm', version: '1.0' }
const action: Action = { kind: 'shrink', pool, key: 'm', from: 3, to: 2 }
const inputs: Decision['inputs'] = {
  arrivalsPerSecond: null,
  serviceMs: null,
  waiting: null,
  queueFree: null,
  ready: 3,
  loading: 0,
  dead: 0,
  listed: 3,
  needed: null,
  held: null,
  minimum: 1,
  maximum: 4,
  knee: null,
  ceiling: null,
  loadMs: null,
  gpu: null,
  workerBytes: null,
  memoryMost: null,
  usable: 4,
  podDemand: null,
}

function reporting() {
  const lines: Line[] = []
  const report = createReport(line => lines.push(line))
  return (what: {
    decide?: Reason
    act?: Action
    ending?: Ending
    notes?: Note[]
    debug?: boolean
  }) => {
    const decision: Decision | undefined = what.decide && {
      atMs: 0,
      key: 'm',
      pool,
      reason: what.decide,
      because: 'because of it',
      inputs,
      ...(what.act ? { action: what.act } : {}),
    }
    const ticked: Ticked = {
      seen: {
        atMs: 0,
        torchserve: { state: 'absent', why: '' },
        pools: [],
        gpus: { state: 'absent', why: '' },
        host: { state: 'absent', why: '' },
        outcomes: what.ending ? [{ action, atMs: 0, ...what.ending }] : [],
        notes: what.notes ?? [],
        pod: noPod,
        resized: undefined,
      },
      decisions: decision ? [decision] : [],
      resize: undefined,
      podDemand: undefined,
      tookMs: 1,
    }
    report(ticked)
    return lines.splice(0).filter(({ level }) => level !== 'debug' || what.debug)
  }
}

t.test('a change is told with its numbers, a steady pool is not', async t => {
  const tell = reporting()
  t.match(tell({ decide: 'idle', act: action }), [
    { level: 'info', text: 'm: because of it', fields: { model: 'm', from: 3, to: 2 } },
  ])
  t.same(tell({ decide: 'steady' }), [])
  t.match(tell({ decide: 'steady', debug: true }), [{ level: 'debug', text: 'm: because of it' }])
})

t.test('what stands in the way is told when it begins, and again after it ended', async t => {
  const tell = reporting()
  t.equal(tell({ decide: 'at_knee' }).length, 1)
  t.equal(tell({ decide: 'at_knee' }).length, 0)
  t.equal(tell({ decide: 'steady' }).length, 0)
  t.equal(tell({ decide: 'at_knee' }).length, 1)
})

t.test('a note is told once while it lasts, and when it is over', async t => {
  const tell = reporting()
  const notes = [{ code: 'X', message: 'do that' }]
  t.match(tell({ notes }), [{ level: 'warn', text: 'do that', fields: { code: 'X' } }])
  t.same(tell({ notes }), [])
  t.match(tell({}), [{ level: 'info', text: 'X is over.', fields: { code: 'X' } }])
  t.same(tell({}), [])
  t.equal(tell({ notes }).length, 1)
})

t.test('how actions ended', async t => {
  const tell = reporting()
  const took = { tries: 1, tookMs: 1_500, delayedMs: 0 }
  t.match(tell({ ending: { kind: 'removed', sureness: 'retired', ...took } }), [
    { level: 'info', text: /gone \(retired, 1 try, 1\.5 s\)/ },
  ])
  t.match(tell({ ending: { kind: 'removed', sureness: 'gap', ...took, tries: 2 } }), [
    { text: /2 tries/ },
  ])
  t.match(tell({ ending: { kind: 'abandoned', why: 'it moved', ...took } }), [{ text: /it moved/ }])
  t.match(tell({ ending: { kind: 'failed', code: 'C', message: 'no' } }), [
    { level: 'warn', text: 'm: 3 → 2 failed: no', fields: { code: 'C' } },
  ])
  t.same(tell({ ending: { kind: 'commanded' } }), [])
})

t.test('advice that stays the same is given once', async t => {
  const tell = reporting()
  const ending = { kind: 'advised' } as const
  t.equal(tell({ decide: 'idle', act: action }).length, 1)
  for (let tick = 0; tick < 5; tick++) t.same(tell({ decide: 'idle', act: action, ending }), [])
  t.equal(tell({ decide: 'idle', act: { ...action, from: 4, to: 3 }, ending }).length, 1)
  t.equal(tell({ decide: 'demand', act: { ...action, from: 4, to: 3 }, ending }).length, 1)
})
