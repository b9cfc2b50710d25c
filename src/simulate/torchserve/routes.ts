/** TorchServe's three HTTP interfaces over a core: what is asked where, and in which words it answers. */
import type { TorchServeCore } from './core.ts'
import type { Handler, Request, Response } from './http.ts'
import { Failure, type Answer } from './job.ts'
import { mentionsToken, type Tokens } from './tokens.ts'

const JSON_TYPE = 'application/json'
const PAGE_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const notFound = () =>
  new Failure(
    404,
    'ResourceNotFoundException',
    'Requested resource is not found, please refer to API document.',
  )
const notAllowed = () =>
  new Failure(
    405,
    'MethodNotAllowedException',
    'Requested method is not allowed, please refer to API document.',
  )

/** A request taken apart. */
interface Asked {
  method: string
  /** Of the path, decoded. */
  segments: string[]
  query: URLSearchParams
}

export function inference(core: TorchServeCore, tokens: () => Tokens | undefined): Handler {
  return handler(async (asked, request) => {
    if (isApiDescription(asked)) return json(200, apiDescription('inference'))
    tokens()?.check('inference', request)
    const [first, model, version, more] = asked.segments
    if (first === 'ping' && model === undefined) {
      const healthy = core.healthy()
      return json(healthy ? 200 : 500, { status: healthy ? 'Healthy' : 'Unhealthy' })
    }
    if (first !== 'predictions' || !model || more !== undefined) throw notFound()
    const answer = await core.infer({ model, version })
    return answer.status === 200 ? { status: 200, reason: '', body: 'OK' } : failed(answer)
  })
}

export function metrics(core: TorchServeCore): Handler {
  return handler(({ segments, query }) => {
    if (segments[0] !== 'metrics') throw segments[0] ? notFound() : notAllowed()
    const body = core.page(new Set(query.getAll('name[]')))
    return { status: 200, contentType: PAGE_TYPE, body }
  })
}

export function management(core: TorchServeCore, tokens: () => Tokens | undefined): Handler {
  return handler(async (asked, request) => {
    const { segments, query } = asked
    if (isApiDescription(asked)) return json(200, apiDescription('management'))
    if (mentionsToken(request) && tokens()) {
      await tokens()?.renew(query.get('type'), request)
      return { status: 200, contentType: JSON_TYPE, body: '\n' }
    }
    tokens()?.check('management', request)
    if (segments.length === 0) throw notAllowed()
    if (segments[0] === 'v1' && segments[1] === 'models' && segments.length === 3) {
      return kserveReadiness(core, segments[2] ?? '')
    }
    if (segments[0] !== 'models' || segments.length > 4) throw notFound()
    return models(core, asked)
  })
}

function models(core: TorchServeCore, asked: Asked): Response | Promise<Response> {
  const { method, query } = asked
  const [, model, version, last] = asked.segments
  if (last !== undefined && last !== 'set-default') throw notFound()
  if (!model) {
    if (method !== 'GET') throw notAllowed()
    const { nextPageToken, models: names } = core.list(
      integer(query.get('limit'), 100),
      integer(query.get('next_page_token'), 0),
    )
    const listed = names.map(modelName => ({ modelName, modelUrl: `${modelName}.mar` }))
    return json(200, { nextPageToken, models: listed })
  }
  if (method === 'GET') {
    const customized = /^true$/i.test(query.get('customized') ?? '') && version !== 'all'
    if (customized) return describeByJob(core, model, version)
    return json(200, core.describe({ model, version }))
  }
  if (method !== 'PUT') throw notAllowed()
  if (last === undefined || version === undefined) return scale(core, model, version, query)
  core.setDefault(model, version)
  const status = `Default version successfully updated for model "${model}" to "${version}"`
  return json(200, { status })
}

async function describeByJob(
  core: TorchServeCore,
  model: string,
  version: string | undefined,
): Promise<Response> {
  const answer = await core.decoy({ model, version })
  if (answer.status !== 200) return failed(answer)
  const [description] = core.describe({ model, version })
  return { ...json(200, [{ ...description, customizedMetadata: {} }]), reason: '' }
}

async function scale(
  core: TorchServeCore,
  model: string,
  versionInPath: string | undefined,
  query: URLSearchParams,
): Promise<Response> {
  const min = integer(query.get('min_worker'), 1)
  const max = integer(query.get('max_worker'), min)
  const version = versionInPath ?? query.get('model_version') ?? undefined
  const scaled = core.scale({ model, version }, min, max)
  if (!/^true$/i.test(query.get('synchronous') ?? '')) {
    return json(202, { status: 'Processing worker updates...' })
  }
  const status = await scaled
  if (status === 206) return json(206, { status: 'Workers scaling in progress...' })
  if (status !== 200) {
    const message = `Failed to start workers for model ${model} version: ${version ?? 'null'}`
    return failure(new Failure(status, 'InternalServerException', message))
  }
  const suffix = version === undefined ? '' : `, version: ${version}`
  return json(200, { status: `Workers scaled to ${min} for model: ${model}${suffix}` })
}

function kserveReadiness(core: TorchServeCore, model: string): Response {
  const [description] = core.describe({ model })
  const workers = description?.['workers']
  return json(200, { name: model, ready: Array.isArray(workers) && workers.length > 0 })
}

/** An integer as Java parses it; anything else is as if it had not been given: `3.0` and `nan` too. */
function integer(text: string | null, otherwise: number): number {
  if (text === null || !/^[+-]?\d{1,10}$/.test(text)) return otherwise
  const value = Number(text)
  return value === (value | 0) ? value : otherwise
}

function isApiDescription({ method, segments }: Asked): boolean {
  if (method === 'OPTIONS') return segments.length === 0
  return segments[0] === 'api-description' && segments.length === 1
}

function apiDescription(of: string): unknown {
  return {
    openapi: '3.0.1',
    info: { title: `TorchServe APIs (${of})`, version: '0.12.0' },
    paths: {},
  }
}

function handler(
  handle: (asked: Asked, request: Request) => Response | Promise<Response>,
): Handler {
  return async request => {
    try {
      return await handle(take(request), request)
    } catch (error) {
      if (error instanceof Failure) return failure(error)
      throw error
    }
  }
}

function take({ method, target }: Request): Asked {
  try {
    const [path = '', query = ''] = target.split('?', 2)
    const segments = path.split('/').filter(Boolean).map(decodeURIComponent)
    return { method, segments, query: new URLSearchParams(query) }
  } catch {
    throw new Failure(400, 'BadRequestException', `Not a path: ${target}`)
  }
}

function json(status: number, value: unknown): Response {
  return { status, contentType: JSON_TYPE, body: `${JSON.stringify(value, null, 2)}\n` }
}

function failure({ status, type, message }: Failure): Response {
  return json(status, { code: status, type, message })
}

function failed({ status, type, message }: Answer): Response {
  return json(status, { code: status, type, message })
}
