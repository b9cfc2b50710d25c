import type { Manifest } from './client.ts'

interface Subject {
  kind: 'ServiceAccount' | 'User'
  name: string
}

/** Gives a subject these verbs on pods/resize in one namespace. */
export const mayResize = (namespace: string, subject: Subject, verbs: string[]) =>
  granted(namespace, subject, 'pods/resize', verbs)

/** The same on pods. */
export const mayChangePods = (namespace: string, subject: Subject, verbs: string[]) =>
  granted(namespace, subject, 'pods', verbs)

function granted(
  namespace: string,
  { kind, name }: Subject,
  resource: string,
  verbs: string[],
): Manifest[] {
  const metadata = { name: `${name}-${resource.replace('/', '-')}`, namespace }
  const apiGroup = 'rbac.authorization.k8s.io'
  const rules = [{ apiGroups: [''], resources: [resource], verbs }]
  const subject = kind === 'User' ? { kind, name, apiGroup } : { kind, name, namespace }
  return [
    { apiVersion: `${apiGroup}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: metadata.name },
      subjects: [subject],
    },
  ]
}
