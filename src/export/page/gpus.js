// @ts-check
/** The GPUs of TorchServe's container: how full each is, who says so, and how long ago. */

import { copy, find, say } from './dom.js'
import { ago, bytes, number } from './words.js'

/**
 * @import { GpuNow } from '../gpus.ts'
 * @import { State } from '../history.ts'
 */

/** @param {State} state */
export function drawGpus({ gpus: now }) {
  const section = find(document, '#gpus')
  section.hidden = now === null
  if (now === null) return
  const list = find(section, 'ol')
  while (list.childElementCount > now.gpus.length) list.lastElementChild?.remove()
  now.gpus.forEach((gpu, index) => {
    const known = list.children[index]
    drawGpu(known instanceof HTMLElement ? known : list.appendChild(copy('gpu')), gpu)
  })
  say(find(section, '.why'), now.why === null ? '' : `Nothing is known of them: ${now.why}`)
  say(
    find(section, '.host'),
    now.host === null
      ? ''
      : `The machine: CPUs ${share(now.host.cpuBusy)} busy, ${bytes(now.host.memoryAvailableBytes)} of ${bytes(now.host.memoryTotalBytes)} memory available.`,
  )
}

/** @param {HTMLElement} item @param {GpuNow} gpu */
function drawGpu(item, gpu) {
  const { totalBytes: total, usedBytes: used } = gpu
  say(find(item, '.name'), nameOf(gpu))
  say(find(item, '.id'), gpu.id)
  say(
    find(item, '.amount'),
    used === null && total === null ? 'memory not known' : `${bytes(used)} of ${bytes(total)} used`,
  )
  const bar = find(item, '.bar')
  bar.hidden = used === null || total === null
  const part = used === null || !total ? 0 : Math.min(1, used / total)
  find(bar, 'span').style.width = `${(100 * part).toFixed(1)}%`
  say(
    find(item, '.facts'),
    [
      gpu.activity === null ? 'activity not known' : `${share(gpu.activity)} active`,
      gpu.sharing === null || gpu.sharing === 'none' ? '' : `shared (${gpu.sharing})`,
      `${sources[gpu.source]}, ${ago(gpu.ageMs)}`,
    ]
      .filter(Boolean)
      .join(' · '),
  )
}

/** @type {Record<GpuNow['source'], string>} */
const sources = {
  configuration: 'from the settings',
  dcgm: 'dcgm-exporter',
  nvidia_smi: 'nvidia-smi',
  torchserve: 'TorchServe',
}

/** @param {GpuNow} gpu */
function nameOf({ gpuInstance, product, profile }) {
  const card = product ?? 'GPU'
  if (gpuInstance === null) return card
  return `${profile ?? 'MIG slice'} · instance ${gpuInstance} of ${card}`
}

/** @param {number} part */
const share = part => number(Math.round(100 * part), '%')
