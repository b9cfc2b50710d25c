/** The text of docs/injection.md, from the tables of annotations and reasons. */
import { annotationRows, LABEL, RECORD } from './annotations.ts'
import { reasonTable } from './reasons.ts'
import { webhookMetrics } from './webhook-metrics.ts'

const introduction = [
  `A pod with the label \`${LABEL}: "true"\`, or one in a namespace with that label, gets the agent when it is created; the label with \`"false"\` keeps a pod out. \`stoker inject\` does the same to manifests, and \`stoker uninject\` takes it back. This page is made from \`src/inject/\`.`,
  `Annotations of the pod (of the template, in a Deployment) say how. An empty one counts as not set, whatever the installation’s default is. A value that is not allowed, and a name that does not exist, keep the agent out of the pod; the message names the annotation, the value and what is allowed. Where a container has more memory by itself than the installation’s \`max-memory\`, that is its cap.`,
  `The agent is added as \`stoker-agent\`, without probes: its failure takes no pod out of service. The pod keeps its QoS class and passes Pod Security’s \`restricted\` if it did before. The annotation \`${RECORD}\` records what was changed.`,
]

export function injectionMarkdown(): string {
  const annotations = annotationRows().map(([name, allowed, usual, says]) =>
    [`### ${name}`, says, `Allowed: ${allowed}. Default: ${usual}.`].join('\n\n'),
  )
  const reasons = Object.entries(reasonTable).map(
    ([code, { kind, says }]) => `- \`${code}\` (${kind}): ${says}`,
  )
  const metrics = Object.values(webhookMetrics).map(({ name, help }) => `- \`${name}\`: ${help}`)
  const parts = [
    '# Injection',
    ...introduction,
    '## Annotations',
    ...annotations,
    '## Reasons',
    'What became of a pod, in the reports, warnings, Events and metrics. _skipped_: there is nothing to do. _refused_: the agent is wanted and cannot be added; the webhook’s strict mode denies the pod. _advice_: it was added, and there is something to know.',
    reasons.join('\n'),
    '## The webhook’s metrics',
    metrics.join('\n'),
  ]
  return `${parts.join('\n\n')}\n`
}
