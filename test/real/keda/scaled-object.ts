/** The ScaledObject of k8s/examples on a test cluster. */
import { join } from 'node:path'
import type { Body, Client, Manifest } from '../cluster/client.ts'
import { readManifests } from '../cluster/manifests.ts'
import { examples } from '../prometheus/queries.ts'

const READ_MS = 60_000

/** As copied, but for where it and Prometheus are, and for periods that would take a test an hour. */
function scaledObject(namespace: string, prometheusUrl: string): Manifest {
  const [object] = readManifests(join(examples, 'pods/prometheus.yaml'))
  if (!object) throw new Error('no ScaledObject')
  object.metadata.namespace = namespace
  const { spec } = object as unknown as {
    spec: {
      advanced: {
        horizontalPodAutoscalerConfig: { behavior: Record<'scaleUp' | 'scaleDown', Rules> }
      }
      triggers: { metadata: Record<string, string> }[]
    }
  }
  const { scaleDown, scaleUp } = spec.advanced.horizontalPodAutoscalerConfig.behavior
  scaleDown.stabilizationWindowSeconds = 30
  for (const rules of [scaleUp, scaleDown])
    for (const policy of rules.policies) policy.periodSeconds = 10
  for (const { metadata } of spec.triggers) metadata['serverAddress'] = prometheusUrl
  return object
}

interface Rules {
  stabilizationWindowSeconds: number
  policies: { periodSeconds: number }[]
}

const READ = 'ValidMetricFound'

function pathsIn(namespace: string) {
  const hpas = `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`
  return {
    object: `/apis/keda.sh/v1alpha1/namespaces/${namespace}/scaledobjects/torchserve`,
    hpa: `${hpas}/keda-hpa-torchserve`,
  }
}

/** Applies it; resolves when the HPA has read its metric. */
export async function scale(admin: Client, namespace: string, prometheusUrl: string) {
  await admin.apply(scaledObject(namespace, prometheusUrl))
  const isActive = ({ body }: { body: Body }) => JSON.stringify(body['status'] ?? {}).includes(READ)
  await admin.waitFor(pathsIn(namespace).hpa, isActive, READ_MS)
}

/** Deletes it; resolves when its HPA has gone, too, and nobody scales any more. */
export async function unscale(admin: Client, namespace: string) {
  const { object, hpa } = pathsIn(namespace)
  await admin.ok('DELETE', object)
  await admin.waitFor(hpa, ({ status }) => status === 404, READ_MS)
}
