import t from 'tap'
import { KubernetesError } from '../../../src/clients/kubernetes.ts'
import { capture } from '../../captures.ts'
import { served } from './served.ts'

const GiB = 2 ** 30
/** What the recorded request wanted of the container, so that the ceiling can be told. */
function wantedBy(body: unknown): { requestBytes?: number; limitBytes?: number } {
  const memory = JSON.stringify(body)
  const bytes = (kind: string) => {
    const amount = new RegExp(`"${kind}":\\{[^}]*"memory":"(\\d+)([MG])i"`).exec(memory)
    return amount ? Number(amount[1]) * (amount[2] === 'G' ? GiB : 2 ** 20) : undefined
  }
  const [requestBytes, limitBytes] = [bytes('requests'), bytes('limits')]
  return { ...(requestBytes && { requestBytes }), ...(limitBytes && { limitBytes }) }
}

const none = { requestBytes: undefined, limitBytes: undefined }
const MiB = 2 ** 20

/** Capture, code, ceiling where the server gave numbers, and floor. */
const recorded: [string, string, object?, object?][] = [
  ['12-merge-patch-array', 'RESIZE_INVALID'],
  ['14-json-patch-test-fails', 'RESIZE_INVALID'],
  ['15-object-as-json-patch', 'RESIZE_INVALID'],
  ['16-object-as-application-json', 'RESIZE_INVALID'],
  ['17-ssa-no-force', 'RESIZE_CONFLICT'],
  ['31-uid-mismatch', 'RESIZE_POD_REPLACED'],
  ['32-uid-mismatch-noop', 'RESIZE_POD_REPLACED'],
  ['33-rv-stale', 'RESIZE_CONFLICT'],
  ['36-gone-404', 'RESIZE_POD_GONE'],
  ['40-qos-become-guaranteed', 'RESIZE_QOS'],
  ['41-guaranteed-limit-only', 'RESIZE_QOS'],
  ['43-besteffort-add', 'RESIZE_QOS'],
  ['44-remove-limit-null', 'RESIZE_INVALID'],
  ['46-other-resource', 'RESIZE_POD_UNSUPPORTED'],
  ['52-bad-quantity', 'RESIZE_INVALID'],
  ['55-bad-json', 'RESIZE_INVALID'],
  ['60-node-without-support', 'RESIZE_NODE_UNSUPPORTED'],
  ['61-node-without-support-noop', 'RESIZE_NODE_UNSUPPORTED'],
  // 16 GiB less the 64 MiB of the other container.
  [
    '70-node-capacity',
    'RESIZE_NODE_CAPACITY',
    { requestBytes: 16 * GiB - 64 * MiB, limitBytes: undefined },
  ],
  ['74-node-not-found', 'RESIZE_NODE_MISSING'],
  ['76-windows-node', 'RESIZE_NODE_PLATFORM'],
  ['90-limitrange-max', 'RESIZE_LIMIT_RANGE', { requestBytes: undefined, limitBytes: 8 * GiB }],
  [
    '91-limitrange-min',
    'RESIZE_LIMIT_RANGE',
    none,
    { requestBytes: 32 * MiB, limitBytes: undefined },
  ],
  // 4 GiB wanted, 1596 MiB more than now, of which 3 GiB - 2112 MiB are left.
  [
    '93-quota-exceeded',
    'RESIZE_QUOTA',
    { requestBytes: 4 * GiB - 1596 * MiB + 960 * MiB, limitBytes: undefined },
  ],
  [
    '94-quota-exceeded-dryrun',
    'RESIZE_QUOTA',
    { requestBytes: 4 * GiB - 636 * MiB, limitBytes: 7 * GiB - 64 * MiB },
  ],
  ['103-plain-init-resize', 'RESIZE_NODE_FEATURE'],
  ['104-strict-unknown-field', 'RESIZE_INVALID'],
  ['111-pod-level-container-raise-above-pod', 'RESIZE_INVALID'],
  ['112-pod-level-resize', 'RESIZE_NODE_FEATURE'],
  ['114-mirror-resize', 'RESIZE_POD_UNSUPPORTED'],
  ['119-kind-gvk-metadata-name-mismatch', 'RESIZE_INVALID'],
  ['204-other-pod-same-sa', 'RESIZE_POLICY'],
  ['209-above-cap-limit', 'RESIZE_POLICY'],
  ['215-cpu-change', 'RESIZE_POLICY'],
  ['235-rbac-no-resize', 'RESIZE_RBAC'],
  ['236-rbac-404-vs-403-foreign-ns', 'RESIZE_RBAC'],
  ['238-own-gone', 'RESIZE_POD_GONE'],
  ['240-above-cap-and-node', 'RESIZE_NODE_CAPACITY'],
  ['242-token-of-old-incarnation', 'RESIZE_POLICY'],
  ['245-legacy-secret-token', 'RESIZE_POLICY'],
]

t.test('each recorded refusal has its code, its ceiling, and the server’s words', async t => {
  for (const [name, code, ceiling, floor = none] of recorded) {
    const { request, status, response } = capture(`apiserver/${name}`)
    const { kubernetes } = await served(t, [{ status, body: response }])
    const wanted = wantedBy(request.body)
    const call = Object.keys(wanted).length > 0 ? kubernetes.resize(wanted) : kubernetes.read()
    const error = await call.then(
      () => undefined,
      (caught: unknown) => caught,
    )
    t.ok(error instanceof KubernetesError, name)
    t.match(error, { code, status, floor }, name)
    if (ceiling)
      t.strictSame(error instanceof KubernetesError && error.ceiling, ceiling, `${name}: ceiling`)
    t.ok(
      String(error).includes(String(Object(response).message).slice(0, 60).split('\n')[0] ?? '?'),
      `${name}: message`,
    )
  }
})

t.test('refusals that were not recorded, by Kubernetes’ source', async t => {
  const status = (message: string, more: object = {}) => ({ kind: 'Status', message, ...more })
  const cases: [number, object, string, object?][] = [
    [
      404,
      status('the server could not find the requested resource', { details: {} }),
      'RESIZE_UNSUPPORTED',
    ],
    [
      422,
      status(
        'Pod "p1" is invalid: spec.containers[0].resources.limits[memory]: Forbidden: memory limits cannot be decreased unless resizePolicy is RestartContainer',
      ),
      'RESIZE_LIMIT_RULE',
    ],
    [
      403,
      status(
        'pods "p1" is forbidden: exceeded quota: q, requested: memory=450Mi, used: memory=600Mi, limited: memory=800Mi',
      ),
      'RESIZE_QUOTA',
      { requestBytes: 2 * GiB - 250 * MiB, limitBytes: undefined },
    ],
    [
      403,
      status(
        'pods "p1" is forbidden: [maximum memory usage per Pod is 4Gi, but limit is 4608Mi, maximum memory usage per Container is 1Gi, but request is 2Gi]',
      ),
      'RESIZE_LIMIT_RANGE',
      { requestBytes: GiB, limitBytes: 4 * GiB - 512 * MiB },
    ],
    [
      403,
      status(
        'pods "p1" is forbidden: memory max limit to request ratio per Container is 2, but provided ratio is 3.000000',
      ),
      'RESIZE_LIMIT_RANGE',
      none,
    ],
    [403, status('admission webhook "quota.run.ai" denied the request: no'), 'RESIZE_POLICY'],
    [
      400,
      status('admission webhook "validate.kyverno.svc" denied the request: no'),
      'RESIZE_POLICY',
    ],
    [403, status('pods "p1" is forbidden: a rule nobody knows'), 'RESIZE_POLICY'],
    [403, status('pods "p1" is forbidden: not yet ready to handle request'), 'KUBERNETES_BUSY'],
    [
      409,
      status('Operation cannot be fulfilled on resourcequotas "q": the object has been modified'),
      'RESIZE_CONFLICT',
    ],
  ]
  for (const [code, body, is, ceiling] of cases) {
    const { kubernetes } = await served(t, [{ status: code, body }])
    await t.rejects(
      kubernetes.resize({ requestBytes: 2 * GiB, limitBytes: 4 * GiB }),
      { code: is, ...(ceiling && { ceiling }) },
      JSON.stringify(body),
    )
  }
})

t.test('pods with resources of their own, as 1.34 and 1.35 refuse them', async t => {
  const why = [
    'pods with pod-level resources cannot be resized',
    'resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled',
  ]
  for (const each of why) {
    const message = `Pod "p1" is invalid: []: Forbidden: ${each}`
    const { kubernetes } = await served(t, [{ status: 422, body: { kind: 'Status', message } }])
    await t.rejects(kubernetes.read(), { code: 'RESIZE_POD_UNSUPPORTED' })
  }
})
