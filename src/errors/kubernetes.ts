/** What can go wrong between the agent and the Kubernetes API, and each way in which a resize can be refused. */
export const kubernetesErrors = {
  KUBERNETES_UNREACHABLE: {
    says: 'Nothing accepts connections at the API server’s address, or the connection broke before the answer.',
    remedy:
      'Check network policies between the pod and the API server. A change that was under way may have been made: the agent reads before it changes anything again.',
    retry: true,
  },
  KUBERNETES_TIMEOUT: {
    says: 'The API server did not answer in time.',
    remedy:
      'A change that was under way may have been made: the agent reads before it changes anything again.',
    retry: true,
  },
  KUBERNETES_TLS: {
    says: 'The API server’s certificate is not trusted, or it does not speak TLS.',
    remedy: 'The CA file must hold the cluster’s CA; in a pod it is mounted beside the token.',
    retry: true,
  },
  KUBERNETES_NOT_KUBERNETES: {
    says: 'Something answers at this address, but not like a Kubernetes API server.',
    remedy: 'Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.',
    retry: true,
  },
  KUBERNETES_REPLY_TOO_LARGE: {
    says: 'The API server’s reply exceeded the size limit.',
    remedy: 'Look for very large annotations on the pod.',
    retry: true,
  },
  KUBERNETES_TOKEN_UNREADABLE: {
    says: 'The service account token cannot be read.',
    remedy:
      'The token must be mounted into the agent’s container, readable by its user; the webhook does that.',
    retry: true,
  },
  KUBERNETES_UNAUTHORIZED: {
    says: 'The API server does not accept the token.',
    remedy:
      'It has expired, or belongs to a pod that is gone. The kubelet renews it in its file, which the agent reads again.',
    retry: true,
  },
  KUBERNETES_BUSY: {
    says: 'The API server asks to come back later.',
    remedy: 'The agent waits as long as it was told.',
    retry: true,
  },
  KUBERNETES_FAILED: {
    says: 'The API server answered with a server error.',
    remedy:
      'The reply is quoted. A change that was under way may have been made: the agent reads before it changes anything again.',
    retry: true,
  },
  RESIZE_UNSUPPORTED: {
    says: 'This cluster has no pods/resize: it is older than Kubernetes 1.33, or its gate InPlacePodVerticalScaling is off.',
    remedy:
      'Workers scale within the memory the pod has. Upgrade the cluster to let memory follow.',
    retry: true,
  },
  RESIZE_NODE_UNSUPPORTED: {
    says: 'The pod’s node cannot resize: its kubelet does not report resources.',
    remedy:
      'Workers scale within the memory the pod has. Upgrade the node’s kubelet to 1.33 or later.',
    retry: true,
  },
  RESIZE_POD_UNSUPPORTED: {
    says: 'This kind of pod cannot be resized: a static or Windows pod, one whose container claims devices (resources.claims), or one with resources of its own before Kubernetes 1.36.',
    remedy: 'Workers scale within the memory the pod has.',
    retry: false,
  },
  RESIZE_POD_GONE: {
    says: 'The pod does not exist any more.',
    remedy: 'It was deleted; its agent ends with it.',
    retry: true,
  },
  RESIZE_POD_REPLACED: {
    says: 'Another pod has this pod’s name now.',
    remedy: 'This pod was deleted and its agent ends with it; the new pod has an agent of its own.',
    retry: false,
  },
  RESIZE_CONTAINER_UNKNOWN: {
    says: 'The pod has no container of this name.',
    remedy: 'The agent must be told the name of the container that TorchServe runs in.',
    retry: true,
  },
  RESIZE_RBAC: {
    says: 'The pod’s service account may not resize pods.',
    remedy:
      'Bind a Role with {apiGroups: [""], resources: ["pods/resize"], verbs: ["patch"]} to the pod’s service account; the chart does that.',
    retry: true,
  },
  RESIZE_POLICY: {
    says: 'An admission policy or webhook of this cluster refused the resize.',
    remedy:
      'The message names it. Stoker’s own policy allows only the annotated container’s memory, up to the annotation stoker.dev/max-memory.',
    retry: true,
  },
  RESIZE_QUOTA: {
    says: 'The namespace’s ResourceQuota has no room for so much memory.',
    remedy: 'Raise the quota, or let pods elsewhere in the namespace go.',
    retry: true,
  },
  RESIZE_LIMIT_RANGE: {
    says: 'The namespace’s LimitRange does not allow so much, or so little, memory.',
    remedy: 'Set the agent’s floor and cap within the LimitRange, or change it.',
    retry: true,
  },
  RESIZE_NODE_CAPACITY: {
    says: 'The pod’s node could not hold so much memory even if it were empty.',
    remedy: 'Lower the cap, or run the pod on larger nodes.',
    retry: true,
  },
  RESIZE_NODE_PLATFORM: {
    says: 'The pod’s node does not run Linux.',
    remedy: 'Workers scale within the memory the pod has.',
    retry: false,
  },
  RESIZE_NODE_FEATURE: {
    says: 'The pod’s node lacks a feature that this resize needs.',
    remedy: 'The message names it; upgrade the node’s kubelet.',
    retry: true,
  },
  RESIZE_NODE_MISSING: {
    says: 'The API server does not know the pod’s node.',
    remedy: 'The node was removed; the pod is about to be, too.',
    retry: true,
  },
  RESIZE_QOS: {
    says: 'The resize would change the pod’s QoS class.',
    remedy:
      'In a Guaranteed pod the agent moves requests and limits together; a BestEffort pod cannot be resized: give its containers memory requests.',
    retry: true,
  },
  RESIZE_LIMIT_RULE: {
    says: 'Kubernetes 1.33 neither lowers nor adds a memory limit without a restart.',
    remedy: 'The agent moves only the request there, and the limit only up.',
    retry: true,
  },
  RESIZE_CONFLICT: {
    says: 'Somebody else changed the pod, or its quota, at the same time.',
    remedy: 'The agent reads the pod again and decides anew.',
    retry: true,
  },
  RESIZE_INVALID: {
    says: 'The API server found the resize invalid.',
    remedy: 'The reply is quoted; please report it, this should not happen.',
    retry: true,
  },
  DELETION_COST_RBAC: {
    says: 'The pod’s service account may not patch pods, so the pod’s deletion cost is not written.',
    remedy:
      'List the service account in the chart’s deletionCost.serviceAccounts, or apply k8s/examples/deletion-cost.yaml; or set STOKER_DELETION_COST=leave. Which pods go first is then chosen without it.',
    retry: true,
  },
  DELETION_COST_POLICY: {
    says: 'An admission policy or webhook of this cluster refused the pod’s deletion cost.',
    remedy:
      'The message names it. Stoker’s own policy allows one annotation of the pod that the token is bound to.',
    retry: true,
  },
  DELETION_COST_INVALID: {
    says: 'The API server found the pod’s deletion cost invalid.',
    remedy: 'The reply is quoted; please report it, this should not happen.',
    retry: true,
  },
} as const
