/** Pods of every shape that the injection looks at, for properties that hold for all of them. */
import fc from 'fast-check'
import { loosely, type LoosePod } from './kubernetes-rules.ts'

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => maybe(fc.option(arbitrary, { freq: 5 }))

const quantity = (...values: string[]) => maybe(fc.constantFrom(...values))
const amounts = orNull(
  fc.record({
    cpu: quantity('0', '100m', '2'),
    memory: quantity('0', '64Mi', '4Gi'),
    'nvidia.com/gpu': quantity('1'),
  }),
)
const claims = orNull(
  fc.constantFrom([], [{ name: 'gpu' }], [{ name: 'gpu', request: 'one' }, { name: 'nic' }]),
)
const resources = orNull(fc.record({ requests: amounts, limits: amounts, claims }))
const resourceClaims = ['gpu', 'nic'].map(name => ({ name, resourceClaimTemplateName: name }))
export const tokenFolder = '/var/run/secrets/kubernetes.io/serviceaccount'
const paths = fc.constantFrom('/models', '/work', '/var/run/torchserve', tokenFolder)
const volumeNames = fc.constantFrom(
  'models',
  'work',
  'stoker-token',
  'stoker-keys',
  'kube-api-access',
)

const container = (name: string) =>
  fc.record({
    name: fc.constant(name),
    image: orNull(
      fc.constantFrom(
        'pytorch/torchserve:0.12.0',
        'pytorch/torchserve-kfs',
        'nginx',
        'a:torchserve',
      ),
    ),
    args: orNull(
      fc.array(fc.constantFrom('torchserve', '--start', 'torchserve --start'), { maxLength: 2 }),
    ),
    workingDir: orNull(fc.constantFrom('', '/work', '/work/')),
    ports: orNull(
      fc.array(fc.record({ containerPort: fc.constantFrom(8081, 8082, 9790) }), { maxLength: 3 }),
    ),
    resources,
    resizePolicy: orNull(
      fc.uniqueArray(
        fc.record({
          resourceName: fc.constantFrom('cpu', 'memory'),
          restartPolicy: fc.constantFrom('NotRequired', 'RestartContainer'),
        }),
        { selector: policy => policy.resourceName },
      ),
    ),
    volumeMounts: orNull(
      fc.uniqueArray(fc.record({ name: volumeNames, mountPath: paths }), {
        selector: mount => mount.mountPath,
      }),
    ),
    securityContext: orNull(
      fc.record({
        runAsUser: orNull(fc.constantFrom(0, 1000)),
        runAsNonRoot: maybe(fc.constant(true)),
        allowPrivilegeEscalation: maybe(fc.constant(false)),
        capabilities: maybe(fc.constant({ drop: ['ALL'] })),
      }),
    ),
    lifecycle: orNull(
      fc.record({
        postStart: maybe(fc.constant({ exec: { command: ['true'] } })),
        preStop: orNull(fc.constant({ exec: { command: ['sleep', '1'] } })),
      }),
    ),
    unknown: maybe(fc.jsonValue()),
  })

const yes = fc.constantFrom('true', 'false', '')
const annotations = fc.record(
  {
    'stoker.dev/container': fc.constantFrom('one', 'two', 'nobody', ''),
    'stoker.dev/share-processes': yes,
    'stoker.dev/share-key-file': yes,
    'stoker.dev/agent-only-token': yes,
    'stoker.dev/share-claims': yes,
    'stoker.dev/drain': yes,
    'stoker.dev/max-memory': fc.constantFrom('', '8Gi', 'lots'),
    'stoker.dev/sidecar': fc.constantFrom('native', 'classic'),
    'stoker.dev/user-id': fc.constantFrom('1000', '0'),
    'stoker.dev/listen-port': fc.constantFrom('9790', '9791', '0'),
    'stoker.dev/injected': fc.constantFrom('policy', '{"undo":[]}'),
    'cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes': fc.constantFrom('', 'work'),
    'a~b/c"d': fc.string(),
  },
  { requiredKeys: [] },
)

const volume = fc.record({ name: volumeNames, emptyDir: fc.constant({}) })
const containers = fc.tuple(container('one'), container('two')).map(([one, two]) => [one, two])

/** The pod as Pod Security’s `restricted` wants it. */
function restricted(pod: LoosePod): LoosePod {
  const securityContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }
  const own = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }
  const confine = (one: LoosePod['spec']['containers'][number]) => ({
    ...one,
    securityContext: own,
  })
  const { containers: main, initContainers } = pod.spec
  const spec = {
    ...pod.spec,
    hostPID: false,
    securityContext,
    containers: main.map(confine),
    ...(initContainers && { initContainers: initContainers.map(confine) }),
  }
  return { ...pod, spec }
}

/** A pod mounts only volumes that it has. */
function withVolumes(pod: LoosePod): unknown {
  const { spec } = pod
  const all = [...spec.containers, ...(spec.initContainers ?? [])]
  for (const { name } of all.flatMap(one => one.volumeMounts ?? [])) {
    spec.volumes ??= []
    if (!spec.volumes.some(one => one.name === name)) spec.volumes.push({ name, emptyDir: {} })
  }
  return pod
}

/** Mostly valid; some of them as Pod Security's `restricted` wants them. */
export const anyPod = fc
  .record({
    metadata: orNull(
      fc.record({
        annotations: orNull(annotations),
        labels: orNull(
          fc.constantFrom<Record<string, string>>({}, { 'stoker.dev/inject': 'true' }),
        ),
      }),
    ),
    spec: fc.record({
      containers: fc.oneof(
        containers,
        container('one').map(one => [one]),
      ),
      initContainers: orNull(
        fc.oneof(
          fc.constant([]),
          container('first').map(first => [first]),
        ),
      ),
      volumes: orNull(fc.uniqueArray(volume, { selector: one => one.name })),
      automountServiceAccountToken: orNull(fc.boolean()),
      shareProcessNamespace: orNull(fc.boolean()),
      hostPID: orNull(fc.boolean()),
      restartPolicy: orNull(fc.constantFrom('Always', 'Never')),
      resources,
      resourceClaims: fc.constant(resourceClaims),
      securityContext: orNull(
        fc.record({
          runAsUser: orNull(fc.constantFrom(0, 1000)),
          runAsNonRoot: maybe(fc.constant(true)),
          seccompProfile: maybe(fc.constant({ type: 'RuntimeDefault' })),
        }),
      ),
    }),
  })
  .map(pod => loosely(JSON.parse(JSON.stringify(pod))))
  .chain(pod => fc.constantFrom(pod, restricted(pod)))
  .map(withVolumes)
