/** The agent as the container of a pod, from the image that the Dockerfile builds. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Node } from './foundation.ts'
import { buildStandIn } from './stand-in.ts'

export const AGENT_IMAGE = 'stoker.local/stoker:test'

/** Builds the image and makes it known to the node by this name; the path of its archive. */
export async function importAgent(node: Node, name = AGENT_IMAGE): Promise<string> {
  const repository = join(import.meta.dirname, '..', '..', '..')
  const folder = join(node.folder, 'stand-in')
  mkdirSync(folder)
  await buildStandIn(node.builder, join(repository, 'Dockerfile'), folder)
  const archive = await node.builder.build(name, repository)
  await node.importImages(archive)
  return archive
}

/** What Pod Security `restricted` asks for, and a root file system that cannot be written. */
const RESTRICTED = {
  runAsNonRoot: true,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}

/** A container that runs one of the image's commands. */
export function agentContainer(name: string, env: Record<string, string> = {}) {
  return {
    name,
    image: AGENT_IMAGE,
    imagePullPolicy: 'Never',
    env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
    securityContext: RESTRICTED,
  }
}

/** A native sidecar: it starts before the containers of the pod, and ends after them. */
export const asSidecar = <Container extends object>(container: Container) => ({
  ...container,
  restartPolicy: 'Always',
})

/** The pod's token and the API server's CA, for the agent only. */
export const tokenVolume = {
  name: 'stoker-token',
  projected: {
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    ],
  },
}
export const tokenMount = {
  name: 'stoker-token',
  mountPath: '/var/run/secrets/stoker.dev',
  readOnly: true,
}
