/** A stand-in for nvidia-smi: a program of that name that writes what an emulated machine's real one would. */
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A GPU as nvidia-smi tells of it. Sizes are MiB. */
export interface Card {
  uuid: string
  product: string
  totalMib: number
  usedMib: number
  reservedMib?: number
  /** The text of `gpu_util`; on MIG always N/A. */
  activity?: string
  persistence?: 'Enabled' | 'Disabled'
  addressing?: 'None' | 'HMM' | 'ATS'
  /** `N/A` where the GPU has no MIG. */
  mig?: 'N/A' | 'Disabled' | 'Enabled'
  minor?: number
  slices?: readonly Slice[]
  processes?: readonly { pid: number; type: string; name: string; usedMib: number }[]
}

/** A compute instance; several of one GPU instance have its memory in common. */
interface Slice {
  uuid: string
  /** As `-L` names it: `3g.40gb`, or `1c.3g.40gb` for a part of one. */
  profile: string
  gpuInstance: number
  computeInstance: number
  totalMib: number
  usedMib: number
}

const tag = (name: string, text: string | number) => `<${name}>${text}</${name}>`
const mib = (name: string, size: number) => tag(name, `${size} MiB`)

function memory(totalMib: number, usedMib: number, reservedMib: number): string {
  const free = totalMib - usedMib - reservedMib
  const rows = [mib('total', totalMib), mib('reserved', reservedMib), mib('used', usedMib)]
  return tag('fb_memory_usage', [...rows, mib('free', free)].join('\n'))
}

function sliceXml(slice: Slice, index: number): string {
  return tag(
    'mig_device',
    [
      tag('index', index),
      tag('gpu_instance_id', slice.gpuInstance),
      tag('compute_instance_id', slice.computeInstance),
      memory(slice.totalMib, slice.usedMib, 0),
      tag('bar1_memory_usage', mib('total', 32_767) + mib('used', 0) + mib('free', 32_767)),
    ].join('\n'),
  )
}

function processXml({ name, pid, type, usedMib }: NonNullable<Card['processes']>[number]): string {
  return tag(
    'process_info',
    [
      tag('gpu_instance_id', 'N/A'),
      tag('compute_instance_id', 'N/A'),
      tag('pid', pid),
      tag('type', type),
      tag('process_name', name),
      mib('used_memory', usedMib),
    ].join('\n'),
  )
}

function cardXml(card: Card, index: number): string {
  const { mig = 'N/A', processes = [], slices = [] } = card
  const bus = `00000000:${(index + 1).toString(16).padStart(2, '0').toUpperCase()}:00.0`
  const sliced = slices.length > 0
  return `<gpu id="${bus}">\n${[
    tag('product_name', card.product),
    tag('persistence_mode', card.persistence ?? 'Enabled'),
    tag('addressing_mode', card.addressing ?? 'None'),
    tag('mig_mode', tag('current_mig', mig) + tag('pending_mig', mig)),
    tag('mig_devices', sliced ? slices.map(sliceXml).join('\n') : 'None'),
    tag('uuid', card.uuid),
    tag('minor_number', card.minor ?? index),
    tag('pci', tag('pci_bus_id', bus)),
    memory(card.totalMib, card.usedMib, card.reservedMib ?? 0),
    tag('bar1_memory_usage', mib('total', 131_072) + mib('used', 1) + mib('free', 131_071)),
    tag('compute_mode', 'Default'),
    tag(
      'utilization',
      tag('gpu_util', sliced ? 'N/A' : (card.activity ?? '0 %')) + tag('memory_util', 'N/A'),
    ),
    tag('supported_clocks', CLOCKS),
    processes.length > 0 ? tag('processes', processes.map(processXml).join('\n')) : '<processes />',
    '<accounted_processes />',
  ].join('\n')}\n</gpu>`
}

/** The longest part of the real thing, and mixed content. */
const CLOCKS = Array.from({ length: 80 }, (_, at) =>
  tag('supported_mem_clock', tag('value', '1593 MHz') + tag('graphics_clock', 1_410 - 15 * at)),
).join('\n')

/** What `nvidia-smi -q -x` writes. */
export function smiXml(
  cards: readonly Card[],
  doctype = '<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">',
): string {
  const head = ['<?xml version="1.0" ?>', doctype, '<nvidia_smi_log>']
  const facts = [tag('driver_version', '550.54.15'), tag('attached_gpus', cards.length)]
  return [...head, ...facts, ...cards.map(cardXml), '</nvidia_smi_log>', ''].join('\n')
}

/** What `nvidia-smi -L` writes. */
export function smiListing(cards: readonly Card[]): string {
  const lines = cards.flatMap(({ product, slices = [], uuid }, index) => [
    `GPU ${index}: ${product} (UUID: ${uuid})`,
    ...slices.map(
      (slice, at) =>
        `  MIG ${slice.profile.padEnd(12)}Device ${String(at).padStart(2)}: (UUID: ${slice.uuid})`,
    ),
  ])
  return `${lines.join('\n')}\n`
}

interface FakeSmi {
  show(cards: readonly Card[]): void
}

/** Puts the program into a folder; it needs /bin/sh and /bin/cat. */
export function installSmi(folder: string): FakeSmi {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, `${name}.new`), text)
    renameSync(join(folder, `${name}.new`), join(folder, name))
  }
  mkdirSync(folder, { recursive: true })
  write(
    'nvidia-smi',
    `#!/bin/sh\ncase "$1" in -L) exec /bin/cat '${folder}/listing' ;; *) exec /bin/cat '${folder}/query' ;; esac\n`,
  )
  chmodSync(join(folder, 'nvidia-smi'), 0o755)
  return {
    show(cards) {
      write('listing', smiListing(cards))
      write('query', smiXml(cards))
    },
  }
}
