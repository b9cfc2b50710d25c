/** Runs nvidia-smi, which may fail in many ways and may hang for ever, also beyond the reach of SIGKILL. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { StokerError, type ErrorCode } from '../errors.ts'

export interface NvidiaSmiOptions {
  clock: Clock
  /** Of the agent: PATH is searched for it, LD_LIBRARY_PATH may lead to the driver's libraries; the child gets nothing else. */
  env: Partial<Record<'PATH' | 'LD_LIBRARY_PATH', string>>
  /** How long it may run; without persistence mode eight GPUs take half a minute. */
  timeoutMs?: number
  /** Bytes it may write. */
  maxBytes?: number
  /** Ends a process group with SIGKILL. */
  kill?: (group: number) => void
}

export type SmiAnswer =
  /** It ended well, and all of its output was handed on. `warning`: its infoROM is corrupted, which does not matter here. */
  | { kind: 'read'; startedMs: number; tookMs: number; warning?: StokerError }
  /** There is no such program, which is how a container without GPU looks. */
  | { kind: 'absent'; why: string }
  | { kind: 'failed'; fault: StokerError }

export interface NvidiaSmi {
  /** Whether a question would be asked now: not while one is open, nor within the pause after failures. */
  idle(): boolean
  /**
   * Runs it once. `take` gets its output in pieces of no more than 8 KiB, with a turn of the event loop between two of them;
   * what was taken is worth nothing unless the answer is `read`. Never throws. Call it only when `idle()`.
   */
  ask(args: readonly string[], take: (text: string) => void): Promise<SmiAnswer>
  /** Ends what still runs; a child that cannot be killed keeps the agent from its end for two seconds at most. */
  close(): void
}

/** Where Google's clusters put the driver. */
const GKE = '/usr/local/nvidia'
const TIMEOUT_MS = 30_000
const MAX_BYTES = 16 * 1_048_576
const PIECE_BYTES = 8_192
/** Of the end of either stream, for messages: what went wrong may come after data. */
const QUOTED_BYTES = 2_048
/** A killed process is gone at once, unless it is in the kernel (state D). */
const DYING_MS = 1_000
/** A child of the child may hold the pipes open after it ended: what is silent for so long is over. */
const DRAIN_MS = 500
/** After one failure, two, three and more; without the program the last. */
const PAUSES_MS = [1_000, 5_000, 30_000, 300_000] as const

export function createNvidiaSmi(options: NvidiaSmiOptions): NvidiaSmi {
  return new Runner(options)
}

/** What a child did. */
interface End {
  code: number | null
  signal: NodeJS.Signals | null
  said: string
}

class Runner implements NvidiaSmi {
  readonly #clock: Clock
  readonly #env: Record<string, string>
  readonly #timeoutMs: number
  readonly #maxBytes: number
  readonly #kill: (group: number) => void
  #asking = false
  /** Running, or abandoned and not gone yet. */
  #child: ChildProcess | undefined
  /** Ends the wait for the child. */
  #waiting: AbortController | undefined
  #failures = 0
  #notBeforeMs = 0

  constructor({ clock, env, timeoutMs, maxBytes, kill }: NvidiaSmiOptions) {
    this.#clock = clock
    const { PATH = '/usr/local/bin:/usr/bin:/bin', LD_LIBRARY_PATH = '' } = env
    this.#env = {
      PATH: `${PATH}:${GKE}/bin`,
      LD_LIBRARY_PATH: `${LD_LIBRARY_PATH}:${GKE}/lib64`.replace(/^:/, ''),
      LC_ALL: 'C',
    }
    this.#timeoutMs = timeoutMs ?? TIMEOUT_MS
    this.#maxBytes = maxBytes ?? MAX_BYTES
    this.#kill = kill ?? killGroup
  }

  idle(): boolean {
    return !this.#asking && !this.#child && this.#clock.now() >= this.#notBeforeMs
  }

  async ask(args: readonly string[], take: (text: string) => void): Promise<SmiAnswer> {
    this.#asking = true
    const answer = await this.#run(args, take)
    if (answer.kind === 'read') this.#failures = 0
    else {
      const last = PAUSES_MS.length - 1
      const pause = PAUSES_MS[answer.kind === 'absent' ? last : Math.min(this.#failures, last)]
      this.#failures++
      this.#notBeforeMs = this.#clock.now() + (pause ?? 0)
    }
    this.#asking = false
    return answer
  }

  close(): void {
    if (this.#child) void this.#leave(this.#child)
  }

  async #leave(child: ChildProcess): Promise<void> {
    if (!(await this.#putDown(child))) this.#waiting?.abort()
  }

  async #run(args: readonly string[], take: (text: string) => void): Promise<SmiAnswer> {
    const asked = `nvidia-smi ${args.join(' ')}`
    const startedMs = this.#clock.now()
    const waiting = (this.#waiting = new AbortController())
    try {
      const child = this.#start(args)
      const ended = this.#read(child, take)
      const late = this.#clock.sleep(this.#timeoutMs, waiting.signal).then(() => 'late' as const)
      const end = await Promise.race([ended, late]).catch((error: unknown) => asError(error))
      if (end !== 'late' && !(end instanceof Error)) {
        return answerOf(asked, end, { startedMs, tookMs: this.#clock.now() - startedMs })
      }
      ended.catch(() => {})
      if (end instanceof Error && end !== tooLarge) throw end
      const left = (await this.#putDown(child)) ? '' : ' and cannot be killed'
      const fault =
        end === 'late'
          ? new StokerError('NVIDIA_SMI_HANGS', `${asked} took ${this.#timeoutMs} ms${left}`)
          : new StokerError('NVIDIA_SMI_TOO_LARGE', `${asked} wrote ${this.#maxBytes} bytes${left}`)
      return { kind: 'failed', fault }
    } catch (error) {
      const { code, message } = asError(error)
      if (code === 'ENOENT' || code === 'EACCES') {
        return { kind: 'absent', why: `nvidia-smi cannot be started (${code})` }
      }
      return { kind: 'failed', fault: new StokerError('NVIDIA_SMI_FAILED', `${asked}: ${message}`) }
    } finally {
      waiting.abort()
    }
  }

  #start(args: readonly string[]): ChildProcess {
    const child = spawn('nvidia-smi', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#env,
      cwd: '/',
      // A process group of its own, so that its children are ended with it.
      detached: true,
    })
    this.#child = child
    const forget = () => (this.#child = undefined)
    child.once('exit', forget)
    child.once('error', forget)
    return child
  }

  /** Hands on what the child writes until it has ended. Throws what `spawn` reports, and TOO_LARGE. */
  async #read(child: ChildProcess, take: (text: string) => void): Promise<End> {
    const { stdout, stderr } = child
    if (!stdout || !stderr) throw new Error('nvidia-smi has no pipes')
    const exited = new Promise<Pick<End, 'code' | 'signal'>>((resolve, reject) => {
      child.once('exit', (code, signal) => resolve({ code, signal }))
      child.once('error', reject)
    })
    const complaint = quote(stderr)
    let bytes = 0
    let pieces = 0
    let said = ''
    const drained = (async () => {
      for await (const chunk of stdout) {
        const text = asBuffer(chunk).toString('latin1')
        bytes += text.length
        if (bytes > this.#maxBytes) throw tooLarge
        said = `${said}${text}`.slice(-QUOTED_BYTES)
        for (let at = 0; at < text.length; at += PIECE_BYTES) {
          take(text.slice(at, at + PIECE_BYTES))
          pieces++
          await nextTurn()
        }
      }
    })()
    drained.catch(() => {})
    const exit = await Promise.race([exited, failed(drained)])
    const over = new AbortController()
    void Promise.all([drained, complaint.done]).then(
      () => over.abort(),
      () => over.abort(),
    )
    let before = -1
    while (!over.signal.aborted && pieces > before) {
      before = pieces
      await this.#clock.sleep(DRAIN_MS, over.signal)
    }
    stdout.destroy()
    stderr.destroy()
    return { ...exit, said: `${said} ${complaint.text()}`.trim() }
  }

  /** Whether the child is gone after it was killed. One that is not is left alone; while it is there, no other is started. */
  async #putDown(child: ChildProcess): Promise<boolean> {
    const gone = new AbortController()
    child.once('exit', () => gone.abort())
    this.#end(child)
    if (this.#child) await this.#clock.sleep(DYING_MS, gone.signal)
    child.stdout?.destroy()
    child.stderr?.destroy()
    child.unref()
    return !this.#child
  }

  #end(child: ChildProcess): void {
    if (child.pid !== undefined) this.#kill(child.pid)
  }
}

const tooLarge = new Error('too large')

function asError(error: unknown): Error & { code?: unknown } {
  return error instanceof Error ? error : new Error(String(error))
}

/** Rejects when `work` does, and otherwise never settles. */
async function failed(work: Promise<unknown>): Promise<never> {
  await work
  return new Promise(() => {})
}

function asBuffer(chunk: unknown): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
}

/** The last bytes of a stream; the rest is read and dropped. */
function quote(stream: NodeJS.ReadableStream): { text(): string; done: Promise<unknown> } {
  let text = ''
  stream.on('data', (chunk: Buffer) => {
    text = `${text}${chunk.toString('latin1')}`.slice(-QUOTED_BYTES)
  })
  return { text: () => text, done: once(stream, 'close') }
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}

/** By exit code: nvidia-smi(1), section RETURN VALUE. */
const codes: Readonly<Record<number, ErrorCode>> = {
  4: 'NVIDIA_SMI_NOT_PERMITTED',
  6: 'NVIDIA_SMI_NO_DEVICE',
  9: 'NVIDIA_SMI_NO_DRIVER',
  12: 'NVIDIA_SMI_NO_LIBRARY',
  13: 'NVIDIA_SMI_NO_LIBRARY',
  15: 'NVIDIA_SMI_GPU_LOST',
  18: 'NVIDIA_SMI_VERSION_MISMATCH',
}

/** By its words, where the exit code is one for everything else. */
const words: readonly (readonly [RegExp, ErrorCode])[] = [
  [/GPU is lost|determine the device handle|requires reset/i, 'NVIDIA_SMI_GPU_LOST'],
  [/version mismatch/i, 'NVIDIA_SMI_VERSION_MISMATCH'],
  [/Failed to initialize NVML: Unknown Error/i, 'NVIDIA_SMI_ACCESS_LOST'],
  [/Insufficient Permissions/i, 'NVIDIA_SMI_NOT_PERMITTED'],
  [/No devices were found/i, 'NVIDIA_SMI_NO_DEVICE'],
  [/communicate with the NVIDIA driver/i, 'NVIDIA_SMI_NO_DRIVER'],
  [/libnvidia-ml/i, 'NVIDIA_SMI_NO_LIBRARY'],
]

const INFOROM_CORRUPTED = 14

function answerOf(
  asked: string,
  { code, signal, said }: End,
  times: { startedMs: number; tookMs: number },
): SmiAnswer {
  if (code === 0) return { kind: 'read', ...times }
  const how = code === null ? `was ended by ${signal}` : `ended with exit code ${code}`
  const quoted = said.replace(/[\s\p{Cc}]+/gu, ' ').slice(-200)
  const because = (is: ErrorCode) =>
    new StokerError(is, `${asked} ${how}${quoted === '' ? '' : `: ${quoted}`}`)
  if (code === INFOROM_CORRUPTED) {
    const warning = new StokerError('NVIDIA_SMI_INFOROM', `${asked} ${how}`)
    return { kind: 'read', ...times, warning }
  }
  const known = codes[code ?? -1] ?? words.find(([pattern]) => pattern.test(said))?.[1]
  return { kind: 'failed', fault: because(known ?? 'NVIDIA_SMI_FAILED') }
}
