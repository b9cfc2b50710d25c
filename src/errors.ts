import { gpuErrors } from './errors/gpu.ts'
import { kubernetesErrors } from './errors/kubernetes.ts'

/**
 * Every error Stoker can report, in one table. docs/errors.md is made from it.
 * `retry`: whether the agent tries again by itself.
 */
export const errorTable = {
  CONFIG_INVALID: {
    says: 'The configuration has errors; all are listed, each with its variable, value and what is allowed.',
    remedy: 'Correct the variables named and start again. Exit code 64.',
    retry: false,
  },
  TORCHSERVE_UNREACHABLE: {
    says: 'Nothing accepts connections at this address.',
    remedy:
      'Start TorchServe, or set STOKER_MANAGEMENT_URL, STOKER_METRICS_URL and STOKER_INFERENCE_URL to where it listens.',
    retry: true,
  },
  TORCHSERVE_TIMEOUT: {
    says: 'TorchServe accepted the connection and did not answer in time.',
    remedy: 'TorchServe is frozen or overloaded; the agent changes nothing until it answers.',
    retry: true,
  },
  TORCHSERVE_UNAUTHORIZED: {
    says: 'TorchServe refused the token.',
    remedy:
      'Set STOKER_KEY_FILE to the key_file.json in the folder TorchServe was started in, readable by the agent; or start TorchServe with --disable-token-auth.',
    retry: true,
  },
  TORCHSERVE_TLS: {
    says: 'One side speaks TLS and the other does not, or the certificate is not trusted.',
    remedy:
      'Use https:// in the URL, and set STOKER_CA_FILE to the CA (or the self-signed certificate).',
    retry: true,
  },
  TORCHSERVE_NOT_TORCHSERVE: {
    says: 'Something answers at this address, but not like TorchServe.',
    remedy:
      'Check the ports: STOKER_MANAGEMENT_URL is 8081, STOKER_METRICS_URL 8082, STOKER_INFERENCE_URL 8080 by default.',
    retry: true,
  },
  TORCHSERVE_NOT_FOUND: {
    says: 'TorchServe does not know this model or version.',
    remedy: 'It may have been unregistered meanwhile; the agent looks again.',
    retry: true,
  },
  TORCHSERVE_REFUSED: {
    says: 'TorchServe refused the call as invalid.',
    remedy: 'The reply is quoted; the agent holds this model and tries again later.',
    retry: true,
  },
  TORCHSERVE_FAILED: {
    says: 'TorchServe answered with a server error.',
    remedy: 'The reply is quoted; the agent tries again.',
    retry: true,
  },
  TORCHSERVE_REPLY_TOO_LARGE: {
    says: 'The reply exceeded the size limit.',
    remedy: 'Check that the URL is TorchServe’s.',
    retry: true,
  },
  METRICS_MODE_LOG: {
    says: 'TorchServe’s metrics page is empty: it runs with metrics_mode=log, its default.',
    remedy:
      'Set metrics_mode=prometheus in config.properties (or TS_METRICS_MODE=prometheus with enable_envvars_config=true) and restart TorchServe. Until then no arrivals are seen, no worker is taken, and none is started beyond the minimum.',
    retry: true,
  },
  METRICS_INCOMPLETE: {
    says: 'TorchServe’s metrics page lacks counters that scaling needs.',
    remedy:
      'Keep ts_inference_requests_total, ts_inference_latency_microseconds and ts_queue_latency_microseconds as counters in the file metrics_config names, and check that the metrics URL is TorchServe’s. Until then no worker is taken, and none is started beyond the minimum.',
    retry: true,
  },
  KEY_FILE_UNREADABLE: {
    says: 'The key file cannot be read or is not TorchServe’s.',
    remedy:
      'STOKER_KEY_FILE must name TorchServe’s key_file.json; it has mode 0600, so the agent needs the same user id.',
    retry: true,
  },
  TORCHSERVE_UNHEALTHY: {
    says: 'TorchServe’s /ping is red: a model has fewer healthy workers than its minimum, and probes on it will restart the pod.',
    remedy: 'Look at the models’ decisions: a worker that is dead, or cannot load, is named there.',
    retry: true,
  },
  ACTION_FAILED: {
    says: 'A change of workers failed for a reason outside TorchServe, such as a process that could not be started.',
    remedy: 'The message says why; the agent looks again and decides anew.',
    retry: true,
  },
  ...kubernetesErrors,
  ...gpuErrors,
  LISTEN_FAILED: {
    says: 'The agent cannot listen on its address.',
    remedy:
      'Free the port, or choose another with STOKER_LISTEN_PORT (the address is STOKER_LISTEN_HOST); for the webhook with --port or --health-port.',
    retry: false,
  },
} as const satisfies Record<string, { says: string; remedy: string; retry: boolean }>

export type ErrorCode = keyof typeof errorTable

/** An error of the table with the place and value at fault in its message. */
export class StokerError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, detail: string, options?: ErrorOptions) {
    super(`${detail}. ${errorTable[code].remedy}`, options)
    this.name = 'StokerError'
    this.code = code
  }
}
