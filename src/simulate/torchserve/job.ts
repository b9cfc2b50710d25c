/** What a client gets for a prediction or a decoy. */
export interface Answer {
  /** 0: TorchServe went away without one. */
  status: number
  /** Of an error: TorchServe's exception name and text. */
  type?: string
  message?: string
  /** How often a worker began to execute it. */
  executions: number
  /** Milliseconds from arrival until a worker's thread had assembled its batch. */
  queuedMs: number
}

/** One entry of a model's queue. */
export interface Job {
  kind: 'predict' | 'describe'
  /** Label of the latency counters: the version asked for, or `default`. */
  versionLabel: string
  arrivedMs: number
  assembledMs: number
  executions: number
  answer(answer: Pick<Answer, 'status' | 'type' | 'message'>): void
}

/** TorchServe's refusal or failure of a call: HTTP status, exception name, text. */
export class Failure extends Error {
  readonly status: number
  readonly type: string

  constructor(status: number, type: string, message: string) {
    super(message)
    this.status = status
    this.type = type
  }
}

export const workerDied = (status: number) =>
  ({ status, type: 'InternalServerException', message: 'Worker died.' }) as const

export const predictionFailed = {
  status: 503,
  type: 'InternalServerException',
  message: 'Prediction failed',
} as const
