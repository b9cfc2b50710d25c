import { withinGpu } from './gpu/gate.ts'
import { down, onTrial, unknown, up, waking } from './load.ts'
import { hold, type Rule, type Ruling } from './ruling.ts'
import {
  allDead,
  changedByOthers,
  failing,
  growing,
  inFlight,
  outOfBounds,
  pausing,
  refused,
} from './upkeep.ts'
import type { View } from './view.ts'
import { are, count, load } from './words.ts'

const inOrder: readonly Rule[] = [
  refused,
  inFlight,
  growing,
  changedByOthers,
  allDead,
  failing,
  pausing,
  outOfBounds,
  waking,
  onTrial,
  unknown,
  up,
  down,
]

/** The first rule that settles the matter decides; what the rules before it learned is kept. */
export function rule(view: View): Ruling {
  const ruling = firstToSettle(view)
  const { census, listed } = view
  const dead = census.dead.size
  if (ruling.action || dead === 0 || dead === listed) return ruling
  const because = `${ruling.because} ${count(dead)} of the list ${are(dead)} dead and keep${dead === 1 ? 's' : ''} /ping red; replaced only when no other serves.`
  return { ...ruling, because }
}

function firstToSettle(view: View): Ruling {
  let seen = view
  for (const one of inOrder) {
    const said = one(seen)
    if (said && 'reason' in said) return withinGpu(seen, said)
    if (said) seen = said.learned
  }
  return hold(seen, 'steady', `${load(seen)}; ${count(seen.listed)} ${are(seen.listed)} right.`)
}
