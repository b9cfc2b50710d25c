import type { Reason, ResizeReason } from '../model.ts'

/** A few words and one sentence for every reason: the page, `/decisions` and docs/metrics.md use the same. */
export const reasons: Readonly<Record<Reason, { label: string; meaning: string }>> = {
  demand: {
    label: 'More load',
    meaning: 'Requests arrive faster than the workers can serve in time.',
  },
  backlog: {
    label: 'Clearing a queue',
    meaning: 'The waiting requests need more workers than the arrivals alone.',
  },
  wake: { label: 'Waking up', meaning: 'The first request came to a pool without workers.' },
  idle: { label: 'Idle', meaning: 'No request for long enough to give all workers back.' },
  below_minimum: {
    label: 'Below the minimum',
    meaning: 'Fewer workers than the configured minimum.',
  },
  above_maximum: {
    label: 'Above the maximum',
    meaning: 'More workers than the configured maximum.',
  },
  excess: {
    label: 'More than needed',
    meaning: 'For the whole hold window fewer workers were enough.',
  },
  knee: {
    label: 'Past the knee',
    meaning: 'The last worker brought no throughput and is taken back.',
  },
  load_failed: {
    label: 'Load failed',
    meaning: 'New workers did not come up; the growth is taken back.',
  },
  dead_worker: {
    label: 'Workers dead',
    meaning: 'Workers died and TorchServe does not bring them back.',
  },
  steady: { label: 'Steady', meaning: 'The workers fit the load.' },
  in_flight: { label: 'Change under way', meaning: 'An earlier change has not finished.' },
  loading: { label: 'Loading', meaning: 'Workers that are loading will be enough.' },
  measuring: { label: 'Measuring', meaning: 'It is being measured what the last worker brought.' },
  hold_window: {
    label: 'Waiting to shrink',
    meaning: 'Fewer workers would do, but not for long enough yet.',
  },
  at_maximum: {
    label: 'At the maximum',
    meaning: 'More workers are needed than the configuration allows.',
  },
  at_knee: {
    label: 'At the knee',
    meaning: 'More workers are needed, but they would bring no throughput.',
  },
  at_ceiling: {
    label: 'At the ceiling',
    meaning: 'More workers are needed, but the last attempt failed; it is tried again later.',
  },
  gpu_full: {
    label: 'GPU full',
    meaning: 'More workers are needed than the memory of the GPU has room for.',
  },
  gpu_unknown: {
    label: 'GPU unknown',
    meaning:
      'More workers are needed, but it is not known whether the GPU has room for them: nobody tells its memory, or what a worker needs.',
  },
  gpu_unhealthy: {
    label: 'GPU unhealthy',
    meaning: 'More workers are needed, but the next one may land on a GPU that has an error.',
  },
  cpu_full: {
    label: 'CPU full, GPU idle',
    meaning:
      'More workers are needed by the numbers, but the CPUs hold the GPU up, not the workers.',
  },
  consolidation: {
    label: 'Too busy to shrink',
    meaning: 'Fewer workers would do by the numbers, but these are busy or requests are waiting.',
  },
  learning: { label: 'Learning', meaning: 'The service time is not known yet.' },
  stale: { label: 'No fresh data', meaning: 'What is known is too old or too little to act on.' },
  foreign_change: {
    label: 'Changed by another',
    meaning: 'Someone else changed the worker count; it is left alone for a while.',
  },
  refused: {
    label: 'Not scaled',
    meaning: 'Changing the worker count would be wrong for this model.',
  },
  memory: {
    label: 'Making room',
    meaning: 'The pod’s memory is raised first; the workers start once the kubelet has set it.',
  },
  at_memory: {
    label: 'No more memory',
    meaning: 'More workers are needed, but the pod may not have the memory for them.',
  },
  draining: {
    label: 'Draining',
    meaning: 'The pod is about to go and serves what it has; no worker is taken meanwhile.',
  },
  cooldown: {
    label: 'Cooling down',
    meaning: 'The last change was a moment ago or failed; the next one waits.',
  },
}

/** The same for the pod’s memory. */
export const resizeReasons: Readonly<Record<ResizeReason, { label: string; meaning: string }>> = {
  more_workers: { label: 'Raising', meaning: 'Workers that are asked for need more memory.' },
  fewer_workers: { label: 'Lowering', meaning: 'Workers have gone; their memory is given back.' },
  taken_back: {
    label: 'Taken back',
    meaning: 'The wish was refused; it is withdrawn, so that it blocks nobody.',
  },
  healing: {
    label: 'Healing',
    meaning: 'The container restarted around a change, and the pod may have kept the old amount.',
  },
  fits: { label: 'Fits', meaning: 'The pod asks for what its workers need.' },
  limit_kept: {
    label: 'Kept',
    meaning:
      'Less would do, but it cannot be lowered: too much of the limit is in use, that cannot be seen, or less was refused.',
  },
  confirming: {
    label: 'Confirming',
    meaning: 'A change was sent; it counts once the kubelet has set it.',
  },
  memory_unknown: {
    label: 'Not known yet',
    meaning: 'What a worker needs has not been seen and is not declared.',
  },
  memory_stale: { label: 'No fresh data', meaning: 'The API server cannot be asked.' },
  not_running: {
    label: 'Not running',
    meaning: 'The container is down or the pod is being deleted; nothing is changed meanwhile.',
  },
  unsupported: {
    label: 'Fixed',
    meaning: 'This pod’s memory cannot be changed; workers scale within it.',
  },
  limited: {
    label: 'Limited',
    meaning: 'More is needed than the cap, the node or a quota allows.',
  },
  peer: { label: 'Left to another', meaning: 'Someone else sets this pod’s memory.' },
  paused: { label: 'Pausing', meaning: 'The last change failed; it is tried again.' },
}
