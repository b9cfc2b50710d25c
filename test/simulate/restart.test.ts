/** Goal: an agent that starts anew beside a TorchServe under load orders no pods by chance. Method: random arrivals on the emulation. */
import t from 'tap'
import { Agent } from './agent.ts'

const SEEDS = 12

for (const { serviceMs, rate } of [
  { serviceMs: 5_000, rate: 0.4 },
  { serviceMs: 500, rate: 3.5 },
]) {
  t.test(`${rate} requests a second of ${serviceMs} ms`, async t => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const models = [{ name: 'm', serviceMs, workers: 4 }]
      const agent = new Agent({ seed, models }, { minWorkers: 4, maxWorkers: 4 })
      agent.rates.set({ model: 'm' }, rate)
      const told: number[] = []
      const watch = async (seconds: number) => {
        for (let second = 0; second < seconds; second++) {
          await agent.run(1)
          told.push(agent.podDemand ?? 0)
        }
        return Math.max(...told.splice(0))
      }
      await agent.run(120)
      const usual = await watch(300)
      agent.restart()
      const most = await watch(60)
      t.ok(most < 1.25 * usual, `seed ${seed}: ${most}, ${usual} before`)
      t.not(agent.podDemand, undefined, 'and it is known again')
    }
  })
}
