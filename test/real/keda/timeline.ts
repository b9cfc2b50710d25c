/** What the suite does to the pods, and what it sees of them. */
import { setTimeout as sleep } from 'node:timers/promises'

const EVERY_MS = 5_000
/** The pace of an idle generator. */
const IDLE_MS = 100
const TIMEOUT_MS = 30_000

/** Requests that arrive independently of each other, each to any pod that serves. */
export class Requests {
  /** Per second. */
  rate = 0
  sent = 0
  /** Not answered with 200. */
  lost = 0
  readonly #urls: () => readonly string[]
  #stopped = false

  constructor(urls: () => readonly string[]) {
    this.#urls = urls
    void this.#run()
  }

  stop(): void {
    this.#stopped = true
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await sleep(this.rate > 0 ? (-Math.log(1 - Math.random()) * 1000) / this.rate : IDLE_MS)
      const urls = this.#urls()
      const url = urls[Math.floor(Math.random() * urls.length)]
      if (this.rate > 0 && url !== undefined) void this.#send(url)
    }
  }

  async #send(url: string): Promise<void> {
    this.sent += 1
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const call = fetch(new URL('/predictions/m', url), { method: 'POST', body: '{}', signal })
    const isAnswered = await call.then(
      async reply => (await reply.text(), reply.ok),
      () => false,
    )
    if (!isAnswered && !this.#stopped) this.lost += 1
  }
}

interface Moment {
  load: number
  demand: number | undefined
  replicas: number
  ready: number
  workers: number
  lost: number
}

/** Prints a row every five seconds. */
export class Timeline {
  readonly #startedMs = performance.now()
  readonly #timer: NodeJS.Timeout
  readonly #marks: string[] = []

  constructor(look: () => Promise<Moment>) {
    const head = ['s', 'load', 'demand', 'replicas', 'ready', 'workers', 'lost', '']
    print(head)
    print(head.map(() => '---'))
    this.#timer = setInterval(() => {
      void look().then(
        moment => this.#tell(moment),
        (error: unknown) => print([String(error)]),
      )
    }, EVERY_MS)
  }

  /** Something that is done now; it stands in the next row. */
  mark(text: string): void {
    this.#marks.push(text)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tell({ demand, load, lost, ready, replicas, workers }: Moment): void {
    const second = Math.round((performance.now() - this.#startedMs) / 1000)
    const numbers = [second, load.toFixed(1), demand?.toFixed(2) ?? '–', replicas, ready, workers]
    print([...numbers, lost, this.#marks.splice(0).join(', ')].map(String))
  }
}

const print = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`)
