/** The settings about GPUs: where to ask about them, and what only a person can know. */

export const gpuProperties = {
  dcgmUrl: {
    type: 'string',
    format: 'url',
    description:
      'The dcgm-exporter of the pod’s own node, as in `http://10.0.0.7:9400`; of its `/metrics` only the rows of TorchServe’s container in this pod are used. When not set, the agent asks `nvidia-smi`, where its container has it.',
  },
  gpuCount: {
    type: 'integer',
    minimum: 1,
    maximum: 64,
    description:
      'How many GPUs or MIG slices TorchServe’s container has. When more than these are visible, they are not taken for TorchServe’s. When not set, several that nvidia-smi shows are taken for TorchServe’s only where its environment can be read and says so.',
  },
  gpuMemory: {
    type: 'string',
    format: 'quantity',
    description:
      'The memory TorchServe may use on each of its GPUs or MIG slices. Needed where nobody else tells the total; where somebody does, no more than this is used.',
  },
  gpuSharing: {
    enum: ['auto', 'none', 'time-slicing', 'mps'],
    default: 'auto',
    description:
      'Whether others use the same GPU: the value of the node label `nvidia.com/gpu.sharing-strategy`. What a worker needs is never learnt on a GPU that is shared. `auto` finds out where it can: time-slicing shows only in dcgm-exporter.',
  },
} as const

/** Those that a model may have of its own. */
export const gpuPoolProperties = {
  gpuWorkerMemory: {
    type: 'string',
    format: 'quantity',
    description:
      'The GPU memory one worker needs at its most, where that is known beforehand. The agent learns it from what it sees; the larger of both counts. On a GPU that others share it cannot be learnt.',
  },
  gpuMemoryUnknown: {
    enum: ['hold', 'grow'],
    default: 'hold',
    description:
      'What happens to a model on a GPU whose free memory is not known: `hold` starts no worker beyond the minimum and beyond the first, `grow` goes on, at the risk that a worker runs out of memory while loading, or makes its neighbours do so.',
  },
} as const
