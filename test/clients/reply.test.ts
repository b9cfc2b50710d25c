import t from 'tap'
import { faultOf, jsonOf, pageOf, type Subject } from '../../src/clients/reply.ts'
import type { Reply } from '../../src/clients/wire.ts'
import { tokenRefused, unknownPath } from './listen.ts'

const asked = 'GET http://127.0.0.1:8081/models'
const reply = (status: number, body: unknown, contentType = 'application/json'): Reply => ({
  status,
  contentType,
  retryAfterMs: undefined,
  body: typeof body === 'string' ? body : JSON.stringify(body, null, 2),
  asked,
})
const error = (status: number, type: string) => reply(status, { code: status, type, message: type })

t.test('each reply of TorchServe has its code', t => {
  const cases: [string, Reply, Subject, string | undefined][] = [
    ['accepted', reply(202, { status: 'Processing worker updates...' }), 'model', undefined],
    ['no such model', error(404, 'ModelNotFoundException'), 'model', 'TORCHSERVE_NOT_FOUND'],
    [
      'no such version',
      error(404, 'ModelVersionNotFoundException'),
      'model',
      'TORCHSERVE_NOT_FOUND',
    ],
    ['another port', reply(404, unknownPath), 'models', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['another port', reply(404, unknownPath), 'model', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['another port', reply(404, unknownPath), 'metrics', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['another 404', reply(404, { error: 'none' }), 'ping', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['token', reply(400, tokenRefused), 'model', 'TORCHSERVE_UNAUTHORIZED'],
    ['token at the wrong port', reply(400, tokenRefused), 'metrics', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['bad request', error(400, 'BadRequestException'), 'model', 'TORCHSERVE_REFUSED'],
    ['bad method', error(405, 'MethodNotAllowedException'), 'model', 'TORCHSERVE_REFUSED'],
    ['server error', error(500, 'InternalServerException'), 'model', 'TORCHSERVE_FAILED'],
    ['out of memory', error(507, 'OutOfMemoryError'), 'model', 'TORCHSERVE_FAILED'],
    ['bare server error', reply(503, '', 'text/plain'), 'model', 'TORCHSERVE_FAILED'],
    [
      'TLS port',
      reply(403, { status: 'This TorchServe instance only accepts HTTPS requests' }),
      'models',
      'TORCHSERVE_TLS',
    ],
    ['another 403', reply(403, { message: 'no' }), 'models', 'TORCHSERVE_REFUSED'],
    ['redirect', reply(302, '', ''), 'models', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['page', reply(200, '<!doctype html>', 'text/html'), 'models', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['page in disguise', reply(200, '\n<html>', ''), 'models', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['page of a proxy', reply(502, '<html>', 'text/html'), 'model', 'TORCHSERVE_NOT_TORCHSERVE'],
    ['plain 404', reply(404, '404 page not found'), 'model', 'TORCHSERVE_NOT_TORCHSERVE'],
  ]
  for (const [name, given, subject, code] of cases) {
    t.equal(faultOf(given, subject)?.code, code, `${name}, ${subject}`)
  }
  t.end()
})

t.test('a message names the URL and quotes the reply in one short line', t => {
  const said = faultOf(reply(404, unknownPath), 'models')?.message ?? ''
  t.match(said, /^GET http:\/\/127\.0\.0\.1:8081\/models answered 404: \{ "code": 404, "type"/)
  t.match(said, /8081, STOKER_METRICS_URL 8082/, 'and the remedy')
  const long = faultOf(reply(500, 'x'.repeat(1_000_000), ''), 'model')?.message ?? ''
  t.match(long, /: x{200}…\. /)
  t.match(faultOf(reply(500, '\u001b[31mred\n', ''), 'model')?.message, /: \[31mred\. /)
  t.match(faultOf(reply(503, ' ', ''), 'model')?.message, /503 with an empty body/)
  t.end()
})

t.test('management answers JSON, the metrics port does not', t => {
  t.strictSame(jsonOf(reply(200, '[1]\n'), 'model'), [1])
  const code = 'TORCHSERVE_NOT_TORCHSERVE'
  t.throws(() => jsonOf(reply(200, 'pong', 'text/plain'), 'model'), { code, message: /pong/ })
  t.throws(() => jsonOf(error(404, 'ModelNotFoundException'), 'model'), {
    code: 'TORCHSERVE_NOT_FOUND',
  })
  t.equal(pageOf(reply(200, 'up 1\n', 'text/plain; version=0.0.4')), 'up 1\n')
  t.throws(() => pageOf(reply(200, { models: [] })), { code, message: /JSON, not metrics/ })
  t.throws(() => pageOf(reply(200, '{}', 'text/plain')), { code })
  t.throws(() => pageOf(reply(404, unknownPath)), { code })
  t.end()
})
