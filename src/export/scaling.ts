/** `/scaling`: what KEDA's metrics-api scaler adds up over the pods. */
import type { FastifyInstance } from 'fastify'
import { isDraining, type Tick } from './tick.ts'

/**
 * Serves `{"podDemand": number, "draining": boolean}`: the load in pods such as this one, and 0 while the pod drains, since others
 * get its requests. 503 where the load is not known: a number would be taken for one. `late`: why the loop is not to be trusted.
 */
export function createScaling(
  app: FastifyInstance,
  late: () => string | undefined,
): { record(tick: Tick): void } {
  let tick: Tick | undefined
  app.get('/scaling', async (_request, reply) => {
    const draining = tick !== undefined && isDraining(tick)
    const unknown = late() ?? whyUnknown(tick)
    if (draining) return { podDemand: 0, draining }
    if (unknown === undefined) return { podDemand: tick?.podDemand, draining }
    return reply.code(503).send({ error: { code: 'DEMAND_UNKNOWN', message: unknown } })
  })
  return {
    record(next) {
      tick = next
    },
  }
}

function whyUnknown(tick: Tick | undefined): string | undefined {
  if (!tick) return 'The agent has not finished its first look.'
  if (tick.podDemand !== undefined) return undefined
  const { pools, torchserve } = tick.seen
  if (torchserve.state !== 'fresh') return torchserve.why
  if (pools.length === 0) return 'TorchServe serves no model.'
  return 'The load of a model is not known yet: its arrivals, or the time a request takes.'
}
