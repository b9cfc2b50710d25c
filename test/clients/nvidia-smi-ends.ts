/** How nvidia-smi ends when it fails, by its manual and by what people report: as a script, and the code it is told by. */
export const ends: readonly (readonly [script: string, code: string])[] = [
  ['echo "No devices were found"; exit 6', 'NVIDIA_SMI_NO_DEVICE'],
  [
    'm="NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; echo "$m"; echo "$m" >&2; exit 9',
    'NVIDIA_SMI_NO_DRIVER',
  ],
  [
    `echo "NVIDIA-SMI couldn't find libNVIDIA-ml.so library in your system."; exit 12`,
    'NVIDIA_SMI_NO_LIBRARY',
  ],
  ['exit 13', 'NVIDIA_SMI_NO_LIBRARY'],
  ['exit 15', 'NVIDIA_SMI_GPU_LOST'],
  [
    'echo "Unable to determine the device handle for GPU 0000:BA:00.0: GPU is lost." >&2; exit 255',
    'NVIDIA_SMI_GPU_LOST',
  ],
  [
    'echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18',
    'NVIDIA_SMI_VERSION_MISMATCH',
  ],
  ['echo "Failed to initialize NVML: Unknown Error"; exit 255', 'NVIDIA_SMI_ACCESS_LOST'],
  [
    'echo "Failed to initialize NVML: Insufficient Permissions"; exit 4',
    'NVIDIA_SMI_NOT_PERMITTED',
  ],
  ['echo "Field \\"x\\" is not a valid field to query."; exit 2', 'NVIDIA_SMI_FAILED'],
  ['exit 3', 'NVIDIA_SMI_FAILED'],
  ['exit 8', 'NVIDIA_SMI_FAILED'],
  ['exit 10', 'NVIDIA_SMI_FAILED'],
  ['exit 255', 'NVIDIA_SMI_FAILED'],
  ['kill -SEGV $$', 'NVIDIA_SMI_FAILED'],
]
