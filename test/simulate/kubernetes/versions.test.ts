/** What the agent's client meets on each version of Kubernetes. */
import t from 'tap'
import type { Version } from '../../../src/simulate/kubernetes/versions.ts'
import { GiB, world } from './agent.ts'

const from = (first: Version): Version[] =>
  (['1.32', '1.33', '1.34', '1.35', '1.36', '1.37'] as const).filter(each => each >= first)

t.test('1.32 does not know pods/resize', async t => {
  const { kubernetes, during } = await world(t, { version: '1.32' })
  await t.rejects(during(kubernetes.read()), { code: 'RESIZE_UNSUPPORTED', status: 404 })
})

t.test(
  'from 1.33 on a raise is granted and actuated; how long until it is told differs',
  async t => {
    for (const version of from('1.33')) {
      const { kubernetes, during, clock, runtime } = await world(t, { version })
      const raised = await during(kubernetes.resize({ requestBytes: 3 * GiB, limitBytes: 6 * GiB }))
      t.match(raised.container.desired, { requestBytes: 3 * GiB, limitBytes: 6 * GiB })
      await clock.advance(300)
      t.equal(runtime.container('torchserve').limitBytes, 6 * GiB, `${version}: the cgroup`)
      const soon = await during(kubernetes.read())
      const told = soon.container.actual?.limitBytes === 6 * GiB
      t.equal(told, version >= '1.36', `${version}: told within 0.3 s`)
      await clock.advance(2_000)
      const later = await during(kubernetes.read())
      t.match(later.container.actual, { requestBytes: 3 * GiB, limitBytes: 6 * GiB }, version)
      t.equal(later.inProgress, undefined)
      t.equal(later.observedGeneration, version >= '1.34' ? 2 : undefined, `${version}: seen`)
      t.equal(later.podLimitBytes, version >= '1.36' ? 6 * GiB + 64 * 2 ** 20 : undefined)
    }
  },
)

t.test('1.33 neither lowers a limit nor adds one; later versions do', async t => {
  for (const version of from('1.33')) {
    const { kubernetes, during, clock, runtime } = await world(t, { version })
    const lower = during(kubernetes.resize({ requestBytes: 1 * GiB, limitBytes: 3 * GiB }))
    if (version === '1.33') {
      await t.rejects(lower, { code: 'RESIZE_LIMIT_RULE', status: 422 })
      await during(kubernetes.resize({ requestBytes: 1 * GiB }))
      await clock.advance(3_000)
      t.equal((await during(kubernetes.read())).container.actual?.requestBytes, 1 * GiB)
    } else {
      await lower
      await clock.advance(3_000)
      t.equal(runtime.container('torchserve').limitBytes, 3 * GiB, version)
    }
  }
})

t.test('1.33: a limit that was raised with a request that waits cannot be taken back', async t => {
  const { kubernetes, emulation, during, clock } = await world(t, { version: '1.33' })
  const filler = [{ name: 'x', requests: { memory: '13Gi' } }]
  emulation.cluster.create({ name: 'filler', containers: filler })
  await during(kubernetes.resize({ requestBytes: 4 * GiB, limitBytes: 6 * GiB }))
  await clock.advance(200)
  t.match((await during(kubernetes.read())).pending, { reason: 'Deferred' })
  await t.rejects(during(kubernetes.resize({ requestBytes: 2 * GiB, limitBytes: 4 * GiB })), {
    code: 'RESIZE_LIMIT_RULE',
  })
  await during(kubernetes.resize({ requestBytes: 2 * GiB }))
  await clock.advance(3_000)
  const seen = await during(kubernetes.read())
  t.equal(seen.pending, undefined, 'its request can')
  t.equal(seen.container.actual?.limitBytes, 6 * GiB, 'and the limit is raised for good')
})

t.test(
  'more than the node has: refused from 1.36 on, before it infeasible, with the wish left standing',
  async t => {
    for (const version of from('1.33')) {
      const { kubernetes, during, clock } = await world(t, { version })
      await during(kubernetes.resize({ limitBytes: 20 * GiB }))
      await clock.advance(2_500)
      const over = during(kubernetes.resize({ requestBytes: 17 * GiB }))
      if (version >= '1.36') {
        await t.rejects(over, {
          code: 'RESIZE_NODE_CAPACITY',
          ceiling: { requestBytes: 16 * GiB - 64 * 2 ** 20, limitBytes: undefined },
        })
        continue
      }
      await over
      await clock.advance(200)
      const seen = await during(kubernetes.read())
      t.match(seen.pending, { reason: 'Infeasible', message: /Node didn't have enough capacity/ })
      t.equal(seen.container.desired.requestBytes, 17 * GiB, `${version}: still wished`)
      t.equal(seen.container.allocatedRequestBytes, 2 * GiB)
      await during(kubernetes.resize({ requestBytes: 2 * GiB }))
      await clock.advance(200)
      t.equal((await during(kubernetes.read())).pending, undefined, `${version}: taken back`)
    }
  },
)

t.test('a node that resizes nothing, as with a static memory manager', async t => {
  const { kubernetes, during, clock, kubelet } = await world(t)
  kubelet.allocation.infeasible =
    'Resize is infeasible for Guaranteed Pods alongside Memory Manager policy "Static"'
  await during(kubernetes.resize({ requestBytes: 3 * GiB }))
  await clock.advance(400_000)
  t.match((await during(kubernetes.read())).pending, { reason: 'Infeasible', message: /Static/ })
})
