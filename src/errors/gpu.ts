/** What can go wrong while GPUs are looked at. Each exit code of nvidia-smi that means something has a code of its own. */

const unknown = 'Until then the GPU’s memory is unknown, and models on it do not grow.'

export const gpuErrors = {
  NVIDIA_SMI_NO_DEVICE: {
    says: 'nvidia-smi runs and finds no GPU (exit code 6).',
    remedy: `The agent’s container was given none: share TorchServe’s by a DRA claim (stoker.dev/share-claims), or set STOKER_DCGM_URL. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_NO_DRIVER: {
    says: 'nvidia-smi cannot reach the driver (exit code 9).',
    remedy: `Check the node: the kernel module nvidia is not loaded. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_NO_LIBRARY: {
    says: 'nvidia-smi does not find the driver’s library libnvidia-ml (exit codes 12 and 13).',
    remedy: `NVIDIA_DRIVER_CAPABILITIES of the agent’s container must contain utility. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_VERSION_MISMATCH: {
    says: 'The driver’s kernel module and its library have different versions (exit code 18).',
    remedy: `The driver was upgraded under running pods: drain the node and restart it. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_GPU_LOST: {
    says: 'A GPU has fallen off the bus, or needs a reset (exit code 15).',
    remedy: `Drain the node; its kernel log has the Xid. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_ACCESS_LOST: {
    says: 'The container has lost its access to the GPU (exit code 255, Unknown Error).',
    remedy: `In the legacy hook mode of the NVIDIA container toolkit any update of the container’s resources does that, a resize of the pod included; only a restart of the container heals it, and CDI prevents it. TorchServe’s container may have lost it too. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_NOT_PERMITTED: {
    says: 'nvidia-smi may not read the GPU (exit code 4).',
    remedy: `Check the security context of the agent’s container. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_HANGS: {
    says: 'nvidia-smi did not end in time and was killed; where that did nothing, it was left alone and no second one is started.',
    remedy: `Check the node: the driver hangs. Without persistence mode each call is slow. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_TOO_LARGE: {
    says: 'nvidia-smi wrote more than the agent reads.',
    remedy: `Report it, with the size of what \`nvidia-smi -q -x\` writes. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_UNREADABLE: {
    says: 'nvidia-smi ended well, but what it wrote is no complete log.',
    remedy: `Report it, with what \`nvidia-smi -q -x\` writes. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_FAILED: {
    says: 'nvidia-smi failed in some other way; its exit code and last words are quoted.',
    remedy: `Run nvidia-smi on the node. ${unknown}`,
    retry: true,
  },
  NVIDIA_SMI_INFOROM: {
    says: 'nvidia-smi warns of a corrupted infoROM (exit code 14); its numbers are good.',
    remedy: 'Plan to replace the card.',
    retry: true,
  },
  GPU_UNHEALTHY: {
    says: 'The driver answers a question about this GPU with an error.',
    remedy: `Look for Xid errors in the node’s kernel log. ${unknown}`,
    retry: true,
  },
  GPU_ACCESS_LOST: {
    says: 'TorchServe could read its GPU, and no longer can.',
    remedy:
      'In the legacy hook mode of the NVIDIA container toolkit any update of a container’s resources takes its GPUs away, a resize of the pod included. Workers that run go on, new ones would find no GPU, and none is started. Restart the container; CDI prevents it.',
    retry: true,
  },
  GPU_MIG_EMPTY: {
    says: 'A GPU is in MIG mode and has no instances, so nothing can run on it.',
    remedy: 'Create GPU instances, or switch MIG off.',
    retry: true,
  },
  GPU_MIG_UNNUMBERED: {
    says: 'A MIG slice is shown without the number of its GPU instance, so nobody can tell it from the others.',
    remedy: `Look at what nvidia-smi -q -x, or dcgm-exporter’s label GPU_I_ID, says on the node; an update of the driver or of the exporter may bring it. The slice is left out. ${unknown}`,
    retry: true,
  },
  GPU_NOT_OURS: {
    says: 'More GPUs are visible than TorchServe has, or than it is known to have.',
    remedy:
      'Set NVIDIA_VISIBLE_DEVICES=void on the agent’s container, unless it shares TorchServe’s GPUs; if it does, STOKER_GPU_COUNT must say how many these are. Until then what is seen is not taken for TorchServe’s.',
    retry: true,
  },
  DCGM_UNREADABLE: {
    says: 'dcgm-exporter cannot be read.',
    remedy: `STOKER_DCGM_URL must be the exporter of the pod’s own node, usually on port 9400; check network policies. ${unknown}`,
    retry: true,
  },
  DCGM_NO_ROWS: {
    says: 'dcgm-exporter has no rows of this pod.',
    remedy: `It must be the exporter of the pod’s own node and run with DCGM_EXPORTER_KUBERNETES=true; the labels pod and namespace must be those of STOKER_POD_NAME and STOKER_POD_NAMESPACE. ${unknown}`,
    retry: true,
  },
  DCGM_STALE: {
    says: 'dcgm-exporter answers, but its numbers of the GPU have not changed for a minute.',
    remedy: `It must collect every 30 s (DCGM_EXPORTER_INTERVAL), as it does by itself; if that is so, restart it: it no longer collects. ${unknown}`,
    retry: true,
  },
} as const satisfies Record<string, { says: string; remedy: string; retry: boolean }>
