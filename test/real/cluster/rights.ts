import type { Manifest } from './client.ts'

interface Subject {
  kind: 'ServiceAccount' | 'User'
  name: string
}

/** Gives a subject these verbs on pods/resize in one namespace. */
export function mayResize(namespace: string, { kind, name }: Subject, verbs: string[]): Manifest[] {
  const metadata = { name, namespace }
  const apiGroup = 'rbac.authorization.k8s.io'
  const rules = [{ apiGroups: [''], resources: ['pods/resize'], verbs }]
  const subject = kind === 'User' ? { kind, name, apiGroup } : { kind, name, namespace }
  return [
    { apiVersion: `${apiGroup}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name },
      subjects: [subject],
    },
  ]
}
