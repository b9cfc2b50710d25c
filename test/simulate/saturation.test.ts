/** Goal: where more comes than can ever be served, a pod settles at its knee, and tells how many pods it takes. Method: over forty minutes on the emulation, with a full queue. */
import t from 'tap'
import { jittered } from '../../src/simulate/torchserve/options.ts'
import type { Contention } from '../../src/simulate/torchserve/device.ts'
import { Agent } from './agent.ts'

/** A first verdict comes after so long at the latest, and the way back is a worker every five seconds. */
const SETTLED_S = 300
/** The knee is tried again 10 minutes after it was found, then after 20 more. */
const RETRIES = 2
const LONG_S = 2_400

const cases: readonly { name: string; device: Contention; rate: number; most: number }[] = [
  { name: 'a lock in the handler', device: { kind: 'lock' }, rate: 40, most: 1 },
  { name: 'a GPU for two', device: { kind: 'gpu', saturation: 2 }, rate: 60, most: 2 },
  {
    name: 'cores that more workers fight for',
    device: { kind: 'cpu', sigma: 0.1, kappa: 0.1 },
    rate: 60,
    most: 2,
  },
]

for (const { name, device, rate, most } of cases) {
  t.test(`${name}: long above all that can be served`, async t => {
    const model = { name: 'm', serviceMs: jittered(100, 0.5), loadMs: 2_000, device: 'one' }
    const agent = new Agent({ devices: { one: device }, models: [model] })
    agent.rates.set({ model: 'm' }, rate)
    await agent.run(SETTLED_S)
    const before = agent.story.length
    const told: number[] = []
    let atKnee = 0
    for (let second = SETTLED_S; second < LONG_S; second++) {
      await agent.run(1)
      told.push(agent.podDemand ?? NaN)
      if (agent.last('m').inputs.listed === most) atKnee++
    }
    const since = agent.story.slice(before)
    const grown = since.filter(line => line.endsWith('demand'))
    t.equal(grown.length, RETRIES, since.join(', '))
    t.equal(agent.last('m').inputs.listed, most)
    t.ok(atKnee > 0.95 * told.length, `${atKnee} of ${told.length} s`)
    const [least = NaN, middle = NaN, greatest = NaN] = [0, 0.5, 1].map(
      part => told.toSorted((a, b) => a - b)[Math.round(part * (told.length - 1))] ?? NaN,
    )
    const all = `${least} to ${greatest}, mostly ${middle}`
    t.ok(least > 2 && told.every(Number.isFinite), all)
    t.ok(greatest < 1.5 * middle && least > middle / 1.5, all)
  })
}
