/** Reviews as the API server sends them, and every fault that Stoker could add to them. */
import { readFileSync } from 'node:fs'
import type { Operation } from 'rfc6902'
import t from 'tap'
import { inject } from '../../src/inject/inject.ts'
import { readPod } from '../../src/inject/pod.ts'
import { createReviewer } from '../../src/inject/review.ts'
import { faultsIn } from '../../src/inject/soundness.ts'
import { asPod, largePod, options, shapes } from './golden.ts'

interface Reply {
  apiVersion: string
  kind: string
  response: {
    uid: string
    allowed: boolean
    patchType?: string
    patch?: string
    warnings?: string[]
    status?: { code: number; message: string }
  }
}

const review = (object: unknown, more: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u-1', namespace: 'ml', operation: 'CREATE', object, ...more },
})

const lenient = createReviewer(options, false)
const strict = createReviewer(options, true)

/** The answer to a review that is one. */
function answerTo(body: unknown, reviewer = lenient) {
  const answer = reviewer(body)
  if (!answer) throw new Error('not taken for a review')
  return { ...answer, reply: answer.body as Reply }
}

const operationsOf = ({ response }: Reply): Operation[] =>
  response.patch === undefined ? [] : JSON.parse(Buffer.from(response.patch, 'base64').toString())

t.test('a recorded review gets the patch that inject makes', async t => {
  const names = [
    '530-admissionreview-pod-create-h1',
    '531-admissionreview-pod-create-h2',
    '532-admissionreview-from-deployment',
  ]
  for (const name of names) {
    const { body } = JSON.parse(readFileSync(`test/captures/admission/${name}.json`, 'utf8'))
    // The recorded pods run nothing like TorchServe, or were injected by a policy.
    const { metadata, spec } = body.request.object
    spec.containers[0].image = 'pytorch/torchserve:0.12.0-cpu'
    spec.volumes = spec.volumes.filter((volume: { name: string }) => volume.name !== 'stoker-token')
    delete spec.initContainers
    delete metadata.annotations
    const { outcome, reply, owner, pod } = answerTo(body)
    t.equal(outcome, 'injected')
    t.match(reply, {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: body.request.uid, allowed: true, patchType: 'JSONPatch' },
    })
    t.same(operationsOf(reply), inject(asPod(body.request.object), options).operations)
    t.match(pod, /^t5d?\/[\w-]+$/)
    t.equal(owner?.kind, name.startsWith('532') ? 'ReplicaSet' : undefined)
  }
})

t.test(
  'the webhook and the command line agree on every golden pod, and deny only where strict',
  async t => {
    for (const { name, pod } of shapes()) {
      const { outcome, operations, reasons } = inject(pod, options)
      const { reply } = answerTo(review(pod))
      t.same(operationsOf(reply), operations, name)
      t.equal(reply.response.allowed, true, name)
      const { response } = answerTo(review(pod), strict).reply
      t.equal(response.allowed, outcome !== 'refused', name)
      if (outcome !== 'refused') continue
      t.equal(response.status?.code, 422)
      t.match(response.status?.message, reasons[0].message)
      t.match(reply.response.warnings, [/^Stoker: /], name)
    }
  },
)

t.test('a fault in any step admits the pod with a warning, strict or not', async t => {
  const sound = {
    inject,
    readPod,
    faultsIn,
    patched: (pod: unknown) => pod,
    ownerOf: () => undefined,
  }
  const fail = () => {
    throw new Error('broken')
  }
  const pod = { spec: { containers: [{ name: 'a', image: 'torchserve' }] } }
  const broken = [
    ...Object.keys(sound).map(step => ({ ...sound, [step]: fail })),
    { ...sound, readPod: () => ({ problems: ['broken'] }) },
    { ...sound, faultsIn: () => ['broken'] },
    { ...sound, inject: () => ({ outcome: 'injected', operations: null, reasons: null }) },
    { ...sound, patched: () => ({ no: 'pod' }) },
  ]
  for (const steps of broken) {
    for (const isStrict of [false, true]) {
      const reviewer = createReviewer(options, isStrict, steps as never)
      const { outcome, reply, error } = answerTo(review(pod), reviewer)
      t.equal(outcome, 'failed')
      t.ok(error)
      t.match(reply.response, {
        uid: 'u-1',
        allowed: true,
        warnings: [/^Stoker: .*by a fault.*\(internal_error\)$/],
      })
      t.notOk(reply.response.patch)
    }
  }
})

t.test('a patch that would make the pod invalid is not sent', async t => {
  const twice = { containers: [{ name: 'a', image: 'torchserve' }, { name: 'a' }] }
  const { outcome, reply } = answerTo(review({ spec: twice }))
  t.equal(outcome, 'failed')
  t.match(reply.response.warnings, [
    'Stoker: The agent was not added, by a fault of Stoker’s: the pod would have more than one container a (internal_error)',
  ])

  const spec = {
    containers: [
      {
        name: 'a',
        image: 'x',
        volumeMounts: [
          { name: 'v', mountPath: '/v' },
          { name: 'v', mountPath: '/v' },
        ],
      },
    ],
    initContainers: [{ name: 'stoker-agent' }],
    hostPID: true,
    shareProcessNamespace: true,
  }
  const annotations = { a: 'x'.repeat(300_000) }
  t.same(faultsIn(asPod({ metadata: { annotations }, spec })), [
    'a mounts the volume v, which is not there',
    'a mounts the volume v, which is not there',
    'more than one mount of a at /v',
    'hostPID with shareProcessNamespace',
    'annotations of 300001 bytes',
  ])
})

t.test('what is no review is told apart, and odd pods are admitted', async t => {
  for (const body of [
    undefined,
    null,
    '',
    [],
    {},
    { request: {} },
    { request: { uid: 1, object: {} } },
  ])
    t.equal(lenient(body), undefined)
  for (const object of [
    null,
    3,
    [],
    {},
    { spec: null },
    { metadata: { ownerReferences: [null] }, spec: { containers: [] } },
    { metadata: { name: { toString: 1 } }, spec: { containers: [] } },
  ])
    t.equal(answerTo(review(object)).reply.response.allowed, true, JSON.stringify(object))
})

t.test('a dry run has no owner to write an Event on; nor has a pod without controller', async t => {
  const controller = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: 'r',
    uid: 'x',
    controller: true,
  }
  const pod = (ownerReferences: object[]) => ({
    metadata: { generateName: 'r-', ownerReferences },
    spec: { containers: [{ name: 'a', image: 'torchserve' }] },
  })
  const other = { ...controller, kind: 'Other', controller: false }
  const { controller: _, ...owner } = controller
  t.same(answerTo(review(pod([other, controller]))).owner, { ...owner, namespace: 'ml' })
  t.equal(answerTo(review(pod([controller]), { dryRun: true })).owner, undefined)
  t.equal(answerTo(review(pod([other]))).owner, undefined)
})

t.test('warnings are short and without control characters', async t => {
  const annotations = {
    'stoker.dev/mode': 'a\nb',
    ...Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`stoker.dev/no-${n}`, 'x'])),
  }
  const { response } = answerTo(
    review({
      metadata: { annotations },
      spec: { containers: [{ name: 'a', image: 'torchserve' }] },
    }),
  ).reply
  t.equal(response.warnings?.length, 1)
  t.ok((response.warnings?.[0]?.length ?? 999) < 300)
  t.notMatch(response.warnings?.[0], /\p{Cc}/u)
})

t.test('a thousand containers are reviewed in little time', async t => {
  const started = performance.now()
  t.equal(answerTo(review(largePod())).outcome, 'injected')
  t.ok(performance.now() - started < 5_000)
})
