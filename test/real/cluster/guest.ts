/**
 * A virtual machine in a node's namespaces, with Debian's kernel and cgroups of version 2 only. Its root is the machine's own file system,
 * read-only; the node's folder is shared with it under its own path; it has a disk for what cannot be on a shared file system. It is
 * emulated by QEMU, so everything in it takes about ten times as long.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '../until.ts'
import { guestKernel } from './guest-build.ts'
import { GUEST_IP, POD_RANGE } from './names.ts'
import type { Namespaces, Result } from './namespaces.ts'

const BOOT_TIMEOUT_MS = 120_000
const COMMAND_TIMEOUT_MS = 180_000
const MEMORY_MIB = 5120
const DISK_BYTES = 8 * 2 ** 30
const LOG_TAIL_CHARS = 4000

export interface Guest {
  /** Starts a program in the guest, its output going to a log file. */
  start(command: readonly string[], logFile: string): void
  /** Runs a command in the guest to its end. Throws where that takes over 180 s. */
  run(command: readonly string[]): Promise<Result>
  /** As run(), of a shell script. */
  script(text: string): Promise<Result>
}

/** Resolves when the guest takes commands. Throws MissingTool, or Error with the end of its console where it does not in 120 s. */
export async function startGuest(folder: string, namespaces: Namespaces): Promise<Guest> {
  const at = join(folder, 'guest')
  for (const place of [at, join(folder, 'containerd', 'root'), join(folder, 'kubelet')])
    mkdirSync(place, { recursive: true })
  const disk = join(at, 'disk.img')
  writeFileSync(disk, '')
  truncateSync(disk, DISK_BYTES)
  await promisify(execFile)('mkfs.ext4', ['-q', disk], { timeout: COMMAND_TIMEOUT_MS })
  const wired = await namespaces.run(['/bin/sh', '-ec', WIRE])
  if (wired.code !== 0) throw new Error(`The guest cannot be connected: ${wired.stderr}`)
  const consoleFile = join(at, 'console.log')
  const qemu = namespaces.start(await machine(folder, at), join(folder, 'qemu.log'))
  const isUp = () => existsSync(join(at, 'ready'))
  await until(() => isUp() || qemu.exitCode !== null, BOOT_TIMEOUT_MS, 100)
  if (!isUp()) {
    const tail = existsSync(consoleFile) ? readFileSync(consoleFile, 'utf8') : 'none'
    throw new Error(
      `The guest has ended, or not started in ${BOOT_TIMEOUT_MS} ms. The end of its console:\n${tail.slice(-LOG_TAIL_CHARS)}`,
    )
  }
  return commands(at)
}

/** A cable between the guest and the node's bridge, and the way to its pods. */
const WIRE = `ip tuntap add guest mode tap
ip link set guest master node up
ip route add ${POD_RANGE} via ${GUEST_IP}`

async function machine(folder: string, at: string): Promise<string[]> {
  const { kernel, initramfs } = await guestKernel()
  const start = join(import.meta.dirname, 'guest-start.sh')
  const words = [
    'console=ttyS0 quiet panic=-1 cgroup_no_v1=all apparmor=0',
    `START=${start} FOLDER=${folder}`,
  ]
  const shared = (tag: string, path: string, access: string) =>
    `local,id=${tag},mount_tag=${tag},path=${path},${access},multidevs=remap`
  return [
    ['qemu-system-x86_64'],
    ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', `${MEMORY_MIB}`],
    ['-nodefaults', '-display', 'none', '-no-reboot', '-rtc', 'base=utc,clock=host'],
    ['-kernel', kernel, '-initrd', initramfs, '-append', words.join(' ')],
    ['-virtfs', shared('machine', '/', 'security_model=none,readonly=on')],
    ['-virtfs', shared('folder', folder, 'security_model=passthrough')],
    ['-drive', `file=${join(at, 'disk.img')},format=raw,if=virtio,cache=unsafe`],
    ['-netdev', 'tap,id=net,ifname=guest,script=no,downscript=no'],
    ['-device', 'virtio-net-pci,netdev=net,romfile='],
    ['-serial', `file:${join(at, 'console.log')}`],
    ['-serial', `unix:${join(at, 'serial.sock')},server=on,wait=off`],
  ].flat()
}

async function commands(at: string): Promise<Guest> {
  const serial = connect(join(at, 'serial.sock'))
  await once(serial, 'connect')
  serial.unref()
  let scripts = 0
  const send = (text: string): string => {
    const number = String(++scripts)
    writeFileSync(join(at, `${number}.sh`), text)
    serial.write(`${number}\n`)
    return join(at, number)
  }
  async function script(text: string): Promise<Result> {
    const file = send(text)
    if (!(await until(() => existsSync(`${file}.code`), COMMAND_TIMEOUT_MS, 10)))
      throw new Error(`The guest has not ended this after ${COMMAND_TIMEOUT_MS} ms: ${text}`)
    const read = (end: string) => readFileSync(`${file}.${end}`, 'utf8')
    return { code: Number(read('code')), stdout: read('out'), stderr: read('err') }
  }
  return {
    script,
    run: command => script(quoted(command)),
    start(command, logFile) {
      send(`exec ${quoted(command)} >>'${logFile}' 2>&1`)
    },
  }
}

function quoted(words: readonly string[]): string {
  return words.map(word => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
}
