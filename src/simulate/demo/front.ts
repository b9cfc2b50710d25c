/** What the demo serves: the agent’s page as it is, with the demo’s own switch added to it. */
import { readFile } from 'node:fs/promises'
import Fastify from 'fastify'
import { request as ask } from 'undici'
import { StokerError } from '../../errors.ts'
import { refusals, type DemoPod, type Refusal } from './pod.ts'

export interface Front {
  url: string
  close(): Promise<void>
}

const files = [
  { name: 'panel.js', type: 'text/javascript; charset=utf-8' },
  { name: 'panel.css', type: 'text/css; charset=utf-8' },
]
const ADDED = `<link rel="stylesheet" href="demo/panel.css" />
    <script src="demo/panel.js" type="module"></script>
  </head>`

/**
 * Everything but `/demo/…` is handed on to the agent at `agentUrl`; its page gets the switch.
 * @throws StokerError LISTEN_FAILED
 */
export async function startFront(
  agentUrl: string,
  pod: Pick<DemoPod, 'refusal' | 'refuse'>,
  listen: { host: string; port: number },
): Promise<Front> {
  const app = Fastify({ forceCloseConnections: true })
  for (const { name, type } of files) {
    const body = await readFile(new URL(name, import.meta.url))
    app.get(`/demo/${name}`, (_request, reply) => reply.type(type).send(body))
  }
  app.get('/demo/refusal', () => ({ refusal: pod.refusal }))
  app.post<{ Body: { refusal: Refusal } }>(
    '/demo/refusal',
    { schema: { body: bodySchema } },
    ({ body }) => {
      pod.refuse(body.refusal)
      return { refusal: pod.refusal }
    },
  )
  app.get('/', async (_request, reply) => {
    const { body, headers } = await ask(new URL('/', agentUrl))
    const page = (await body.text()).replace('</head>', ADDED)
    const policy = headers['content-security-policy']
    return reply.headers({ 'content-security-policy': policy }).type('text/html').send(page)
  })
  app.get('/*', async ({ url, headers }, reply) => {
    const known = { 'if-none-match': headers['if-none-match'] }
    const answer = await ask(new URL(url, agentUrl), { headers: known })
    const { connection: _, 'keep-alive': __, ...kept } = answer.headers
    return reply.code(answer.statusCode).headers(kept).send(answer.body)
  })
  try {
    return { url: await app.listen(listen), close: () => app.close() }
  } catch (error) {
    const where = `cannot listen on ${listen.host}:${listen.port}`
    throw new StokerError('LISTEN_FAILED', `STOKER_LISTEN_PORT: ${where}`, { cause: error })
  }
}

const bodySchema = {
  type: 'object',
  required: ['refusal'],
  additionalProperties: false,
  properties: { refusal: { enum: refusals } },
}
